# SPDX-License-Identifier: Apache-2.0
"""Stores of encoded text: ids end to end, and the starts of sentences and documents.

A store is a directory of three NumPy files that are memory-mapped, so that processes
share their pages, and of checksums, which are checked whenever it is opened.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from jaxtyping import Int, Integer
from numpy.lib import format as npy

from embed_jax.files.checked_files import (
    CHECKSUMS,
    Remedies,
    check_files,
    write_checksums,
)
from embed_jax.files.directory import written_whole
from train.called import called

REMEDY = "remove the directory and prepare the text again"
"""What messages about a store that is damaged advise."""

TOKENS, SENTENCES, DOCUMENTS = "tokens", "sentence_starts", "document_starts"
STORE_FILES = frozenset(
    (*(f"{name}.npy" for name in (TOKENS, SENTENCES, DOCUMENTS)), CHECKSUMS)
)

# Tokens that are looked at in one go.
_CHUNK = 1 << 24


@dataclasses.dataclass(frozen=True, eq=False)
class TokenStore:
    """Documents of sentences of token ids, memory-mapped.

    Attributes:
      path: the directory.
      tokens: ids of all sentences, end to end, without boundaries or specials; uint16
        or uint32.
      sentence_starts: start of each sentence in `tokens`, and the end, int64.
      document_starts: first sentence of each document, and the end, int64.
    """

    path: Path
    tokens: Integer[np.ndarray, " N"]
    sentence_starts: Int[np.ndarray, " S1"]
    document_starts: Int[np.ndarray, " D1"]

    @classmethod
    def open(cls, path: Path) -> "TokenStore":
        """Open a store (memory-mapped).

        Raises:
          ValueError: no store, one of another kind, or a damaged one.
        """
        store = cls(path, *open_arrays(path))
        store.check()
        return store

    def check(self) -> None:
        """Check all files of the store, each of which is read once.

        Raises:
          ValueError: a file has changed since it was written.
        """
        remedies = Remedies(REMEDY, REMEDY)
        if check_files(self.path, remedies=remedies, all_there=True):
            return
        # Of an earlier version, without checksums: what would be read out of bounds, or
        # make a row of gigabytes, is refused all the same.
        for name, starts in (
            (SENTENCES, self.sentence_starts),
            (DOCUMENTS, self.document_starts),
        ):
            for begin in range(0, len(starts), _CHUNK):
                if (np.diff(starts[begin : begin + _CHUNK + 1]) <= 0).any():
                    raise ValueError(
                        f"{self.path / name}.npy is damaged: its starts do not rise; "
                        f"{REMEDY}"
                    )

    def check_ids(self, num_ids: int, described: str) -> None:
        """Check that all tokens are among those that there are.

        Args:
          num_ids: all must be below it.
          described: what there are so many of, for the message.

        Raises:
          ValueError: one is not.
        """
        for begin in range(0, self.num_tokens, _CHUNK):
            largest = int(self.tokens[begin : begin + _CHUNK].max())
            if largest >= num_ids:
                raise ValueError(
                    f"{self.path / TOKENS}.npy holds token {largest}, but {described} "
                    f"has {num_ids}; {REMEDY}"
                )

    @property
    def num_tokens(self) -> int:
        """Number of tokens."""
        return len(self.tokens)

    @property
    def num_sentences(self) -> int:
        """Number of sentences."""
        return len(self.sentence_starts) - 1

    @property
    def num_documents(self) -> int:
        """Number of documents."""
        return len(self.document_starts) - 1

    def sentence(self, index: int) -> Integer[np.ndarray, " T"]:
        """Return the ids of a sentence.

        Raises:
          IndexError: there is no such sentence.
        """
        if not 0 <= index < self.num_sentences:
            raise IndexError(f"{self.path} has no sentence {index}")
        return self.tokens[
            self.sentence_starts[index] : self.sentence_starts[index + 1]
        ]


def open_arrays(
    path: Path,
) -> tuple[Integer[np.ndarray, " N"], Int[np.ndarray, " S1"], Int[np.ndarray, " D1"]]:
    """Memory-map the tokens, sentence starts and document starts of a store.

    Raises:
      ValueError: no store, one of another kind, or a damaged one.
    """
    if not path.is_dir():
        raise ValueError(f"{path}: no such store; run {called('prepare')} first")
    tokens = open_array(path / f"{TOKENS}.npy", (np.uint16, np.uint32))
    sentences = open_array(path / f"{SENTENCES}.npy", (np.int64,))
    documents = open_array(path / f"{DOCUMENTS}.npy", (np.int64,))
    for name, starts, end in (
        (SENTENCES, sentences, len(tokens)),
        (DOCUMENTS, documents, len(sentences) - 1),
    ):
        # Only the ends: to look at every start would read the whole file.
        if not len(starts) or starts[0] != 0 or starts[-1] != end:
            raise ValueError(
                f"{path / name}.npy does not belong to the files beside it; {REMEDY}"
            )
    return tokens, sentences, documents


def open_array(
    path: Path, dtypes: Sequence[type[np.generic]], *, ndim: int = 1
) -> np.ndarray:
    """Memory-map one NumPy file, which may claim any shape; nothing is unpickled.

    Args:
      path: the file.
      dtypes: the allowed dtypes.
      ndim: the required number of axes.

    Raises:
      ValueError: missing, damaged, cut short, or of another kind.
      OSError: it may not be read.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; {REMEDY}") from error
    except PermissionError:
        raise
    except Exception as error:  # a header is Python, and its parser raises many kinds
        raise ValueError(f"{path} is damaged or cut short; {REMEDY}") from error
    if array.ndim != ndim:
        raise ValueError(f"{path} holds no array of {ndim} axes; {REMEDY}")
    if array.dtype not in dtypes:
        wanted = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise ValueError(f"{path} holds {array.dtype}, not {wanted}; {REMEDY}")
    # A plain array over the same pages: np.memmap would be carried into every slice.
    return array.view(np.ndarray)


def smallest_dtype(num_ids: int) -> np.dtype:
    """Return uint16 if it can hold all ids below `num_ids`, else uint32."""
    return np.dtype(np.uint16 if num_ids <= 1 << 16 else np.uint32)


@contextlib.contextmanager
def written_store(path: Path, num_ids: int) -> Iterator["StoreWriter"]:
    """Write a store, which appears when the block ends normally.

    Args:
      path: the directory; one that holds a store is replaced.
      num_ids: all ids are below it.

    Raises:
      FileExistsError: `path` exists and is not a store.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "store")
      >>> with written_store(path, 100) as writer:
      ...     writer.append([np.array([7, 8]), np.array([9])])
      >>> TokenStore.open(path).sentence(1).tolist()
      [9]
    """
    with written_whole(path, marker=f"{TOKENS}.npy", overwrite=True) as fresh:
        with StoreWriter(fresh, num_ids) as writer:
            yield writer
        write_checksums(fresh)


class StoreWriter:
    """Writes the files of a store document by document, in bounded memory.

    Attributes:
      path: the directory; other files may be added.
    """

    def __init__(self, path: Path, num_ids: int, *, synced: bool = True) -> None:
        """Begin a store.

        Args:
          path: an empty directory.
          num_ids: all ids are below it.
          synced: whether to wait at the end until the files survive a power failure.
        """
        self.path = path
        self._synced = synced
        self._num_ids = num_ids
        self._tokens = _GrowingArray(path / f"{TOKENS}.npy", smallest_dtype(num_ids))
        starts = np.dtype(np.int64)
        self._sentences = _GrowingArray(path / f"{SENTENCES}.npy", starts)
        self._documents = _GrowingArray(path / f"{DOCUMENTS}.npy", starts)
        self._sentences.append(np.zeros(1, np.int64))
        self._documents.append(np.zeros(1, np.int64))

    def append(self, document: Sequence[Integer[np.ndarray, " _"]]) -> None:
        """Add a document, given as the ids of its sentences.

        Sentences without a token, and documents without a sentence, are left out.

        Raises:
          ValueError: an id that is negative or not below `num_ids`.
        """
        sentences = [ids for ids in document if len(ids)]
        if not sentences:
            return
        lengths = np.array([len(ids) for ids in sentences], np.int64)
        self.extend(np.concatenate(sentences), lengths, np.array([len(sentences)]))

    def extend(
        self,
        tokens: Integer[np.ndarray, " N"],
        lengths: Integer[np.ndarray, " S"],
        sizes: Integer[np.ndarray, " D"],
    ) -> None:
        """Add whole documents at once, none of them empty.

        Args:
          tokens: their ids, end to end.
          lengths: tokens of each sentence.
          sizes: sentences of each document.

        Raises:
          ValueError: an id that is negative or not below `num_ids`.
        """
        if not len(sizes):
            return
        if tokens.min() < 0 or tokens.max() >= self._num_ids:
            raise ValueError(
                f"ids from {tokens.min()} to {tokens.max()}, but there are "
                f"{self._num_ids} of them"
            )
        num_tokens, num_sentences = self._tokens.size, self._sentences.size - 1
        self._tokens.append(tokens)
        self._sentences.append(num_tokens + np.cumsum(lengths))
        self._documents.append(num_sentences + np.cumsum(sizes))

    def __enter__(self) -> "StoreWriter":
        """Return the writer, which writes until the block ends."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the files."""
        for array in (self._tokens, self._sentences, self._documents):
            array.close(synced=self._synced)


class _GrowingArray:
    """A NumPy file written by appending, whose header gets its length at the end."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.size = 0
        self._dtype = dtype
        self._file: IO[bytes] = path.open("wb")
        self._write_header()

    def append(self, values: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self.size += len(values)

    def close(self, *, synced: bool) -> None:
        # NumPy leaves room in the header, which has the same length for every size.
        self._file.seek(0)
        self._write_header()
        self._file.flush()
        if synced:
            os.fsync(self._file.fileno())
        self._file.close()

    def _write_header(self) -> None:
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.size,),
        }
        npy.write_array_header_1_0(self._file, header)
