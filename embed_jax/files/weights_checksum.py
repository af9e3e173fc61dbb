# SPDX-License-Identifier: Apache-2.0
"""A checksum of weights, which identifies the model that computed something."""

import zlib
from typing import Any

import jax
import numpy as np

from embed_jax.files.checksum import as_digits


def checksum_weights(params: Any) -> str:
    """Return the CRC-32 of all leaves, in their order, as eight hexadecimal digits.

    Example:
      >>> checksum_weights({"bias": np.zeros(2, np.float32)})
      '6522df69'
    """
    checksum = 0
    for leaf in jax.tree.leaves(params):
        checksum = zlib.crc32(np.asarray(leaf).tobytes(), checksum)
    return as_digits(checksum)
