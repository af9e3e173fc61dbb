# SPDX-License-Identifier: Apache-2.0
"""Building of the HDF5 file of a store from its raw files, block by block."""

import os
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from embed_jax.files.json_file import json_text
from embed_jax.store.journal import Journal
from embed_jax.store.layout import (
    ARRAYS,
    BLOCK_BYTES,
    CHECKED_CHUNK_BYTES,
    CHUNK_BYTES,
    FORMAT,
)
from embed_jax.store.raw import damaged_raw
from embed_jax.store.seal import LIBVER, seal, write_text


def build_file(
    partial: Path, target: Path, journal: Journal, compression: str | None
) -> None:
    """Write the HDF5 file from the raw files, block by block.

    Raises:
      ValueError: a raw file does not hold any more what was appended to it.
      OSError: the disk is full or fails.
    """
    target.write_bytes(format_header(journal))
    reserve_room(target, sum(map(journal.size_of, ARRAYS)))
    with h5py.File(target, "r+", libver=LIBVER) as file:
        for array in ARRAYS:
            shape, dtype = journal.shape_of(array), journal.dtype_of(array)
            # Text and offsets are a few per cent of a store and shrink well.
            chosen = compression if array == "vectors" else "gzip"
            dataset = file.create_dataset(
                array, shape, dtype, **filter_options(shape, dtype, chosen)
            )
            raw = partial / array
            checksum = _fill_dataset(dataset, raw)
            if checksum != journal.checksums.get(array, checksum):
                raise damaged_raw(raw)
        seal(file)


def format_header(journal: Journal) -> bytes:
    """Return the bytes of an HDF5 file with the attributes and without arrays."""
    with h5py.File(
        "unnamed",
        "w",
        driver="core",
        backing_store=False,
        libver=LIBVER,
        track_times=False,
    ) as file:
        file.attrs["format"] = FORMAT
        write_text(file, "dtype", journal.dtype)
        write_text(file, "metadata", json_text(journal.metadata))
        file.flush()
        return file.id.get_file_image()


def reserve_room(target: Path, size: int) -> None:
    """Extend an HDF5 file to the largest size it may need; closing it truncates it.

    HDF5 cannot close a file that it cannot write to: if the disk were full during
    writing, h5py would print errors that cannot be caught and crash the process.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    # For chunk indices and for what does not compress.
    margin = (1 << 20) + size // 128
    with target.open("r+b") as file:
        os.posix_fallocate(file.fileno(), target.stat().st_size, size + margin)


def filter_options(
    shape: tuple[int, ...], dtype: np.dtype, compression: str | None
) -> dict[str, Any]:
    """Return the arguments of `create_dataset` for chunks, checks and compression."""
    # HDF5 refuses chunks larger than the array, hence any chunk of an empty one.
    if shape[0] == 0:
        return {}
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    chunk_bytes = CHECKED_CHUNK_BYTES if compression is None else CHUNK_BYTES
    chunk_rows = min(shape[0], max(1, chunk_bytes // row_bytes))
    checked = {"chunks": (chunk_rows, *shape[1:]), "fletcher32": True}
    if compression is None:
        return checked
    return checked | {
        "shuffle": True,
        "compression": compression,
        "compression_opts": 1 if compression == "gzip" else None,
    }


def _fill_dataset(dataset: h5py.Dataset, raw: Path) -> int:
    """Copy a raw file; return the CRC-32 of what was copied."""
    row_shape = dataset.shape[1:]
    width = int(np.prod(row_shape, dtype=np.int64))
    # Whole chunks, so that each is compressed once.
    step = dataset.chunks[0] if dataset.chunks else 1
    step *= max(1, BLOCK_BYTES // (step * width * dataset.dtype.itemsize))
    checksum = 0
    with raw.open("rb") as file:
        for start in range(0, dataset.shape[0], step):
            stop = min(start + step, dataset.shape[0])
            block = np.fromfile(file, dataset.dtype, (stop - start) * width)
            if len(block) < (stop - start) * width:
                raise damaged_raw(raw)
            checksum = zlib.crc32(block.data, checksum)
            dataset[start:stop] = block.reshape(stop - start, *row_shape)
    return checksum
