# SPDX-License-Identifier: Apache-2.0
"""Opening and checking of a finished store, and of the parts of an index."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py

from embed_jax.files.output_file import meant_by
from embed_jax.store.journal import Journal, read_journal
from embed_jax.store.layout import ARRAYS, CHUNK_CACHE_BYTES, FORMAT, STORED_DTYPES
from embed_jax.store.partial import partial_of, parts_of


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
        num_rows, dim = arrays["vectors"].shape
        contents = Journal(
            dim,
            _attribute(file, "dtype"),
            json.loads(_attribute(file, "metadata")),
            num_sentences=arrays["offsets"].shape[0] - 1,
            num_rows=num_rows,
            num_bytes=arrays["words"].shape[0],
        )
        opened = OpenStore(file, arrays, contents, listed_parts(file))
        _check_parts(path, opened)
    except BaseException:
        file.close()
        raise
    return opened


def listed_parts(file: h5py.File) -> tuple[ListedPart, ...]:
    """Return the parts listed by an index; none for any other file."""
    if "parts" not in file.attrs:
        return ()
    return tuple(ListedPart(*part) for part in json.loads(_attribute(file, "parts")))


def whole_of(part: Journal) -> Journal:
    """Return the journal of the whole store of a part: without the part's own share."""
    metadata = {key: part.metadata[key] for key in part.metadata if key != "share"}
    return Journal(part.dim, part.dtype, metadata)


def _open_file(path: Path) -> h5py.File:
    if not path.exists():
        _explain_missing(path)
    try:
        # A finished store never changes in place, and not every file system can lock.
        return h5py.File(path, "r", locking=False, rdcc_nbytes=CHUNK_CACHE_BYTES)
    except OSError as error:
        # What the system refuses carries an errno, what HDF5 cannot read does not.
        if error.errno is not None:
            raise
        raise ValueError(
            f"{path} is truncated or no HDF5 file: copy or write it again ({error})"
        ) from error


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
    if not {"format", "dtype", "metadata"} <= set(file.attrs):
        raise ValueError(
            f"{path} is an HDF5 file but no vector store: write one with StoreWriter"
        )
    version = _attribute(file, "format")
    if version != FORMAT:
        raise ValueError(
            f"{path} has format {version}, this version reads {FORMAT}: read it with "
            "the version that wrote it, or write it again"
        )


def _attribute(file: h5py.File, name: str) -> Any:
    # h5py gives its attributes no type.
    return file.attrs[name]


def _checked_arrays(path: Path, file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return the four arrays of a file, after a check that their sizes agree."""
    arrays = {
        name: array
        for name in ARRAYS
        if isinstance(array := file.get(name), h5py.Dataset)
    }
    if len(arrays) < len(ARRAYS) or not _fit_each_other(
        _attribute(file, "dtype"), **arrays
    ):
        raise ValueError(f"{path} is damaged: copy or write it again")
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
        and len(vectors.shape) == 2
        and word_offsets.shape == (vectors.shape[0] + 1,)
        and offsets.shape[0] >= 1
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
        counts = held.num_sentences, held.num_rows, held.num_bytes
        is_same = whole_of(held).identity() == index.contents.identity()
        if not is_same or counts != listed[1:]:
            raise ValueError(
                f"{name} is not the part that {path} was made of: copy both together, "
                "or write them again"
            )
        # HDF5 keeps open what was read once: whoever replaces the store and removes
        # this part takes nothing away from a reader that has begun.
        if listed.num_rows:
            index.arrays["vectors"][row]
        if listed.num_bytes:
            index.arrays["words"][byte]
        row, byte = row + listed.num_rows, byte + listed.num_bytes
