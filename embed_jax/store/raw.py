# SPDX-License-Identifier: Apache-2.0
"""Checking of the raw files of a partial store against its journal."""

import zlib
from pathlib import Path

import numpy as np

from embed_jax.store.journal import Journal
from embed_jax.store.layout import ARRAYS, BLOCK_BYTES, BOUNDARIES, OFFSET


def check_raw(partial: Path, journal: Journal) -> dict[str, int]:
    """Check that the raw files hold what the journal says, before more is appended.

    All that is committed is read once.

    Returns:
      The CRC-32 of what is committed of each file.

    Raises:
      ValueError: a file is missing, too short or damaged; names it.
      OSError: a file cannot be read.
    """
    checksums = {}
    for array in ARRAYS:
        raw = partial / array
        # Truncating a shorter file would lengthen it, by zeros.
        if not raw.exists() or raw.stat().st_size < journal.size_of(array):
            raise ValueError(
                f"{raw} lacks data that its journal lists: the partial store is "
                "damaged, overwrite=True starts over"
            )
        checksums[array] = _checksum(raw, journal.size_of(array))
        if journal.checksums.get(array, checksums[array]) != checksums[array]:
            raise damaged_raw(raw)
    # A journal of an earlier version has no checksums, but this must hold of it too.
    counts = {"vectors": journal.num_rows, "words": journal.num_bytes}
    for array, divided in BOUNDARIES.items():
        raw, size = partial / array, journal.size_of(array)
        last = np.fromfile(raw, OFFSET, 1, offset=size - OFFSET.itemsize)
        if last.tolist() != [counts[divided]]:
            raise damaged_raw(raw)
    return checksums


def damaged_raw(raw: Path) -> ValueError:
    """Return the error for a raw file that holds other bytes than were appended."""
    return ValueError(
        f"{raw} is damaged: it does not hold what was appended, so the partial store "
        "cannot be continued; overwrite=True starts over"
    )


def _checksum(raw: Path, size: int) -> int:
    checksum = 0
    with raw.open("rb") as file:
        while block := file.read(min(BLOCK_BYTES, size)):
            checksum = zlib.crc32(block, checksum)
            size -= len(block)
    return checksum
