# SPDX-License-Identifier: Apache-2.0
"""The parts that an index lists, and the check that it shows them and nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import h5py

from embed_jax.files.hdf5 import COPY_AGAIN, reading_hdf5
from embed_jax.files.json_file import parse_json
from embed_jax.store.seal import attribute


class ListedPart(NamedTuple):
    """An index's entry for one of its parts.

    Attributes:
      name: path of the part, relative to the folder of the index.
      num_sentences: number of its sentences.
      num_rows: number of its rows.
      num_bytes: number of its bytes of text.
    """

    name: str
    num_sentences: int
    num_rows: int
    num_bytes: int


def listed_parts(path: Path, file: h5py.File) -> tuple[ListedPart, ...]:
    """Return the parts listed by an index; none for any other file.

    Raises:
      ValueError: the list is damaged, or names a file outside the index's directory.
    """
    with reading_hdf5(path):
        if "parts" not in file.attrs:
            return ()
    listed = parse_json(attribute(path, file, "parts"), f"{path}: its list of parts")
    try:
        parts = tuple(ListedPart(*part) for part in listed)
        for part in parts:
            place = PurePath(part.name)
            if place.is_absolute() or ".." in place.parts:
                raise ValueError(f"{part.name} lies outside its directory")
            if any(type(count) is not int or count < 0 for count in part[1:]):
                raise ValueError(f"{part.name} has no such counts")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path} lists no parts of its own ({error}): {COPY_AGAIN}"
        ) from error
    return parts


def escaped(name: str) -> str:
    """Return a name as a virtual dataset has it; HDF5 puts a number in place of %b."""
    return name.replace("%", "%%")


def check_sources(
    path: Path, arrays: Mapping[str, h5py.Dataset], parts: Sequence[ListedPart]
) -> None:
    """Check that virtual datasets show the listed parts, one after another.

    Any other source could be any file of whoever reads it, and where a source is
    missing, HDF5 shows zeros.

    Raises:
      ValueError: one shows something else.
    """
    for array in ("vectors", "words"):
        with reading_hdf5(path):
            held = _sources(arrays[array]) if arrays[array].is_virtual else []
        wanted, start = [], 0
        for part in parts:
            length = part.num_rows if array == "vectors" else part.num_bytes
            if length:
                wanted.append((escaped(part.name), array, start, start + length))
            start += length
        if held != wanted:
            raise ValueError(
                f"{path}: {array} shows other files than its list of parts, or none; "
                f"{COPY_AGAIN}"
            )


def _sources(dataset: h5py.Dataset) -> list[tuple[str, str, int, int]]:
    """Return file, dataset, and the first and the last row plus one, of each source."""
    sources = []
    for source in dataset.virtual_sources():
        first, last = source.vspace.get_select_bounds()
        name = source.dset_name.removeprefix("/")
        sources.append((source.file_name, name, first[0], last[0] + 1))
    return sorted(sources, key=lambda source: source[2])
