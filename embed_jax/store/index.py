# SPDX-License-Identifier: Apache-2.0
"""The index file, which combines several parts into one store.

Vectors and words stay in the parts; the index has HDF5 virtual datasets that refer to
them by relative paths, so any HDF5 reader sees one array, and index and parts can be
moved together. Offsets count from the first part on, so they are copied and shifted.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Int

from embed_jax.files.json_file import json_text
from embed_jax.store.build import filter_options, format_header, reserve_room
from embed_jax.store.checked import open_store
from embed_jax.store.journal import Journal
from embed_jax.store.layout import BLOCK_BYTES, OFFSET
from embed_jax.store.listed import ListedPart, escaped
from embed_jax.store.seal import LIBVER, seal, write_text


def write_index(
    target: Path, folder: Path, contents: Journal, parts: Sequence[ListedPart]
) -> None:
    """Write an index, which the caller renames to a file in `folder`.

    Args:
      target: the file to write.
      folder: the directory that the paths of the parts are relative to.
      contents: the journal of the whole store.
      parts: in the order of the sentences.

    Raises:
      OSError: the disk is full or fails.
    """
    target.write_bytes(format_header(contents))
    offsets = ("offsets", "word_offsets")
    reserve_room(target, sum(map(contents.size_of, offsets)))
    with h5py.File(target, "r+", libver=LIBVER) as file:
        write_text(file, "parts", json_text(parts))
        for array in ("vectors", "words"):
            _lay_out(file, array, contents, parts)
        for array in offsets:
            shape = contents.shape_of(array)
            options = filter_options(shape, OFFSET, "gzip")
            dataset = file.create_dataset(array, shape, OFFSET, **options)
            dataset[0] = 0
            start = 1
            for block in _offset_blocks(folder, array, parts):
                dataset[start : start + len(block)] = block
                start += len(block)
        seal(file)


def _lay_out(
    file: h5py.File, array: str, contents: Journal, parts: Sequence[ListedPart]
) -> None:
    """Make a virtual dataset that concatenates an array of the parts."""
    shape, dtype = contents.shape_of(array), contents.dtype_of(array)
    layout = h5py.VirtualLayout(shape, dtype)
    start = 0
    for part in parts:
        length = part.num_rows if array == "vectors" else part.num_bytes
        if length:
            name = escaped(part.name)
            source = h5py.VirtualSource(name, array, (length, *shape[1:]), dtype)
            layout[start : start + length] = source
        start += length
    if start:
        file.create_virtual_dataset(array, layout)
    else:
        file.create_dataset(array, shape, dtype)


def _offset_blocks(
    folder: Path, array: str, parts: Sequence[ListedPart]
) -> Iterator[Int[np.ndarray, " boundaries"]]:
    """Yield the offsets of the parts, counted from the first part on."""
    begin = 0
    for listed in parts:
        with open_store(folder / listed.name) as part:
            ends = part.arrays[array]
            step = BLOCK_BYTES // OFFSET.itemsize
            for start in range(1, len(ends), step):
                yield ends[start : start + step] + begin
            begin += int(ends[-1])
