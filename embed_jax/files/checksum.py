# SPDX-License-Identifier: Apache-2.0
"""Checksums of what our own files hold.

A CRC-32 is for arrays and blocks that are read again and again: zlib computes gigabytes
of it a second, and no change of up to 32 bits in a row escapes it. SHA-256 is for small
files that others hand on.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped


def crc32_of(values: Shaped[np.ndarray, "..."]) -> str:
    """Return the CRC-32 of an array's bytes in row-major order, as eight digits.

    Shape and dtype are not part of it: hold them against the file's header.

    Args:
      values: an array in memory or memory-mapped, of any dtype without objects.

    Example:
      >>> crc32_of(np.zeros(2, np.float32))
      '6522df69'
    """
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return as_digits(zlib.crc32(flat.data))


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_digits(checksum: int) -> str:
    """Write a CRC-32 as eight hexadecimal digits.

    Example:
      >>> as_digits(255)
      '000000ff'
    """
    return f"{checksum:08x}"
