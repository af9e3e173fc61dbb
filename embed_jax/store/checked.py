# SPDX-License-Identifier: Apache-2.0
"""Opening and checking of a finished store, and of the parts of an index."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from embed_jax.files.hdf5 import COPY_AGAIN, open_hdf5, reading_hdf5
from embed_jax.files.json_file import parse_object
from embed_jax.files.output_file import meant_by
from embed_jax.store.journal import Journal, read_journal
from embed_jax.store.layout import (
    ARRAYS,
    CHUNK_CACHE_BYTES,
    FORMAT,
    OFFSET,
    STORED_DTYPES,
)
from embed_jax.store.listed import ListedPart, check_sources, listed_parts
from embed_jax.store.partial import partial_of, parts_of
from embed_jax.store.seal import attribute, check_seal


@dataclass(frozen=True)
class OpenStore:
    """An open store.

    Attributes:
      file: the HDF5 file, to be closed.
      arrays: the four arrays, by name.
      contents: their sizes, dtype and metadata.
      parts: the parts listed by an index; empty if the arrays are in the file itself.
    """

    file: h5py.File
    arrays: dict[str, h5py.Dataset]
    contents: Journal
    parts: tuple[ListedPart, ...]

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> "OpenStore":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_store(path: Path) -> OpenStore:
    """Open a finished store, or the index of one.

    Raises:
      FileNotFoundError: there is no such file, or only a partial store, or a part of
        the index is missing.
      ValueError: the file is truncated, no store, or of another format version; or a
        part is not the one that the index was made of.
    """
    path = meant_by(path)  # whose parts lie beside it
    file = _open_file(path)
    try:
        _check_header(path, file)
        arrays = _checked_arrays(path, file)
        check_seal(path, file)
        num_rows, dim = arrays["vectors"].shape
        contents = Journal(
            dim,
            attribute(path, file, "dtype"),
            parse_object(attribute(path, file, "metadata"), f"{path}: its metadata"),
            num_sentences=arrays["offsets"].shape[0] - 1,
            num_rows=num_rows,
            num_bytes=arrays["words"].shape[0],
        )
        opened = OpenStore(file, arrays, contents, listed_parts(path, file))
        check_sources(path, arrays, opened.parts)
        _check_parts(path, opened)
    except BaseException:
        file.close()
        raise
    return opened


def whole_of(part: Journal) -> Journal:
    """Return the journal of the whole store of a part: without the part's own share."""
    metadata = {key: part.metadata[key] for key in part.metadata if key != "share"}
    return Journal(part.dim, part.dtype, metadata)


def damaged(path: Path) -> ValueError:
    """Return the error for a file whose arrays contradict each other."""
    return ValueError(f"{path} is damaged: {COPY_AGAIN}")


def _open_file(path: Path) -> h5py.File:
    if not path.exists():
        _explain_missing(path)
    # Only an index has virtual datasets, and `check_sources` checks what they show.
    return open_hdf5(path, virtual=("vectors", "words"), rdcc_nbytes=CHUNK_CACHE_BYTES)


def _explain_missing(path: Path) -> None:
    """Raise an error for a missing file that names an unfinished store, if any."""
    if (held := read_journal(partial_of(path))) is not None:
        raise FileNotFoundError(
            f"{path} is not finished: {partial_of(path)} holds its first "
            f"{held.num_sentences} sentences, write the rest with resume=True"
        )
    if parts_of(path).exists():
        raise FileNotFoundError(
            f"{path} is not finished: {parts_of(path)} lacks some of its parts, write "
            "them with resume=True"
        )


def _check_header(path: Path, file: h5py.File) -> None:
    with reading_hdf5(path):
        names = set(file.attrs)
    if not {"format", "dtype", "metadata"} <= names:
        raise ValueError(
            f"{path} is an HDF5 file but no vector store: write one with StoreWriter"
        )
    version = attribute(path, file, "format")
    if version != FORMAT:
        raise ValueError(
            f"{path} has format {version}, this version reads {FORMAT}: read it with "
            "the version that wrote it, or write it again"
        )


def _checked_arrays(path: Path, file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return the four arrays of a file, after a check that their sizes agree."""
    dtype = attribute(path, file, "dtype")
    with reading_hdf5(path):
        arrays = {
            name: array
            for name in ARRAYS
            if isinstance(array := file.get(name), h5py.Dataset)
        }
        fit = len(arrays) == len(ARRAYS) and _fit_each_other(dtype, **arrays)
    if not fit:
        raise damaged(path)
    return arrays


def _fit_each_other(
    dtype: str,
    vectors: h5py.Dataset,
    offsets: h5py.Dataset,
    words: h5py.Dataset,
    word_offsets: h5py.Dataset,
) -> bool:
    return (
        vectors.dtype == STORED_DTYPES.get(dtype)
        and words.dtype == np.uint8
        and {offsets.dtype, word_offsets.dtype} == {OFFSET}
        and [array.ndim for array in (vectors, words, offsets)] == [2, 1, 1]
        and vectors.shape[1] >= 1
        and word_offsets.shape == (vectors.shape[0] + 1,)
        and offsets.shape[0] >= 1
        and int(offsets[0]) == int(word_offsets[0]) == 0
        and int(offsets[-1]) == vectors.shape[0]
        and int(word_offsets[-1]) == words.shape[0]
    )


def _check_parts(path: Path, index: OpenStore) -> None:
    """Check every part; from a missing one HDF5 would silently read zeros."""
    row = byte = 0
    for listed in index.parts:
        name = path.parent / listed.name
        if not name.exists():
            raise FileNotFoundError(
                f"{path} lacks its part {name}: copy the folder along with it, or "
                "write the part again with resume=True and overwrite=True"
            )
        with open_store(name) as part:
            held = part.contents
            if part.parts:
                raise ValueError(f"{name} is an index, not a part: {COPY_AGAIN}")
        counts = held.num_sentences, held.num_rows, held.num_bytes
        is_same = whole_of(held).identity() == index.contents.identity()
        if not is_same or counts != listed[1:]:
            raise ValueError(
                f"{name} is not the part that {path} was made of: copy both together, "
                "or write them again"
            )
        # HDF5 keeps open what was read once: whoever replaces the store and removes
        # this part takes nothing away from a reader that has begun.
        with reading_hdf5(path):
            if listed.num_rows:
                index.arrays["vectors"][row]
            if listed.num_bytes:
                index.arrays["words"][byte]
        row, byte = row + listed.num_rows, byte + listed.num_bytes
