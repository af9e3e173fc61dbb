# SPDX-License-Identifier: Apache-2.0
"""HDF5 files that are read whole, and carry a checksum of all their bytes.

It stands before the file proper, in the block that HDF5 leaves to its users and every
reader passes over. For files with strings of any length, which HDF5 keeps in a heap
without checksums, where it may turn in a circle for ever if the heap is damaged.
"""

import zlib
from pathlib import Path
from typing import IO

from embed_jax.files.checksum import as_digits
from embed_jax.files.hdf5 import COPY_AGAIN

USER_BLOCK = 512
"""Bytes before the file proper, for `h5py.File(…, userblock_size=USER_BLOCK)`."""

_MARK = b"embed_jax: the CRC-32 of all after these 512 bytes is "
_BLOCK_BYTES = 1 << 24


def seal_file(file: IO[bytes]) -> None:
    """Write the checksum of a file that h5py has closed into its user block."""
    file.seek(USER_BLOCK)
    checksum = _checksum(file)
    file.seek(0)
    file.write((_MARK + checksum + b"\n").ljust(USER_BLOCK, b"\0"))


def check_sealed(path: Path) -> None:
    """Check a file before HDF5 sees it; one without a checksum passes.

    Raises:
      ValueError: it has changed since it was written.
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(USER_BLOCK)
        # Files of earlier versions begin with HDF5's own signature.
        if head.startswith(b"\x89HDF\r\n\x1a\n"):
            return
        found = (_MARK + _checksum(file) + b"\n").ljust(USER_BLOCK, b"\0")
        if head.startswith(_MARK[:9]) and head != found:
            raise ValueError(f"{path} is damaged: {COPY_AGAIN}")


def _checksum(file: IO[bytes]) -> bytes:
    checksum = 0
    while block := file.read(_BLOCK_BYTES):
        checksum = zlib.crc32(block, checksum)
    return as_digits(checksum).encode()
