# SPDX-License-Identifier: Apache-2.0
"""Reading of a finished store."""

import operator
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, SupportsIndex, overload

import h5py
import numpy as np
from jaxtyping import Float, Int

from embed_jax.arguments import kind_of
from embed_jax.files.hdf5 import reading_hdf5
from embed_jax.files.local_path import local_path
from embed_jax.store.checked import damaged, open_store
from embed_jax.store.layout import BLOCK_BYTES, DTYPES
from embed_jax.store.text_index import TextIndex

_SET_BY_OPENING = ("_opened", "_arrays", "metadata", "dtype", "dim", "offsets")


class VectorStore:
    """A finished store, open for reading; only the offsets are held in memory.

    `store[i]` is the [words, D] array of sentence i and `store[a:b]` a list of them,
    as in a list of arrays; iterating reads ahead in blocks. `find` and `in` look for a
    sentence by its text. A pickled store, as a worker of a data loader gets it, is its
    path, and is opened where it is first read.

    Attributes:
      path: the file, or the index of several.
      metadata: as given to the writer.
      dtype: of the arrays returned, bfloat16 included.
      dim: width of the vectors.
      offsets: int64, the row where each sentence begins, and the number of rows.

    Raises:
      FileNotFoundError: there is no such file, or only a partial store, or a part of
        the index is missing.
      ValueError: the file is truncated or damaged, no store, or of another format
        version; or a part is not the one that the index was made of. Damage of values
        is found when they are read, by any of the methods.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = local_path(path)
        self._texts: TextIndex | None = None
        self._opened = open_store(self.path)
        try:
            self._arrays = self._opened.arrays
            contents = self._opened.contents
            self.metadata: dict[str, Any] = contents.metadata
            self.dtype = DTYPES[contents.dtype]
            self.dim: int = contents.dim
            with reading_hdf5(self.path):
                offsets = self._arrays["offsets"][:]
            if (np.diff(offsets) < 0).any():
                raise damaged(self.path)
            self.offsets: Int[np.ndarray, " boundaries"] = offsets
        except BaseException:
            self._opened.close()
            raise

    def __getstate__(self) -> dict[str, Any]:
        if "_expected" in self.__dict__:
            return {"path": self.path, "expected": self._expected}
        return {"path": self.path.absolute(), "expected": self._described()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self._texts = state["path"], None
        self._expected = state["expected"]

    def __getattr__(self, name: str) -> Any:
        # Only what is missing comes here: of a store from a pickle, before it is read.
        if name not in _SET_BY_OPENING or "_expected" not in self.__dict__:
            raise AttributeError(f"VectorStore has no attribute {name!r}")
        opened = VectorStore(self.path)
        if opened._described() != self._expected:
            opened.close()
            raise ValueError(
                f"{self.path} is another store than the one that was pickled; pickle "
                "it again"
            )
        # Only now, and all at once: of another store nothing is taken, and another
        # thread may read this one too.
        self.__dict__.update({each: opened.__dict__[each] for each in _SET_BY_OPENING})
        return getattr(self, name)

    def _described(self) -> dict[str, Any]:
        """Return what another store at the same place is known by."""
        contents = self._opened.contents
        return contents.identity() | {"num_rows": contents.num_rows, "len": len(self)}

    @property
    def vectors(self) -> h5py.Dataset:
        """The HDF5 dataset of all rows, not read; bfloat16 as uint16 bit patterns."""
        return self._arrays["vectors"]

    def read_rows(self, start: int, stop: int) -> Float[np.ndarray, "W D"]:
        """Read rows `start` to `stop` of the concatenated rows of all sentences.

        Raises:
          ValueError: the file is damaged.
        """
        with reading_hdf5(self.path):
            return self.vectors[start:stop].view(self.dtype)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: SupportsIndex) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(
        self, index: SupportsIndex | slice
    ) -> np.ndarray | list[np.ndarray]:
        if not isinstance(index, slice):
            return self.read_rows(*self._rows_of(index))
        indices = range(len(self))[index]
        if len(indices) == 0 or indices.step != 1:
            return [self[i] for i in indices]
        bounds = self.offsets[indices.start : indices.stop + 1]
        rows = self.read_rows(int(bounds[0]), int(bounds[-1]))
        return np.split(rows, bounds[1:-1] - bounds[0])

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks():
            for vectors in self[block]:
                # A caller who keeps one sentence must not keep its whole block.
                yield vectors.copy()

    @overload
    def words(self, index: SupportsIndex) -> list[str]: ...
    @overload
    def words(self, index: slice) -> list[list[str]]: ...
    def words(self, index: SupportsIndex | slice) -> list[str] | list[list[str]]:
        """Read the words of a sentence, or of each sentence of a slice.

        Raises:
          IndexError: there is no such sentence.
          ValueError: the file is damaged.
        """
        if not isinstance(index, slice):
            return self._read_texts(*self._rows_of(index))
        indices = range(len(self))[index]
        if len(indices) == 0 or indices.step != 1:
            return [self.words(i) for i in indices]
        bounds = self.offsets[indices.start : indices.stop + 1].tolist()
        texts = self._read_texts(bounds[0], bounds[-1])
        return [
            texts[start - bounds[0] : stop - bounds[0]]
            for start, stop in pairwise(bounds)
        ]

    def find(self, sentence: str | Sequence[str]) -> list[int]:
        """Return the indices of the sentences of a text, ascending; none: [].

        Reads the words of the whole store once, 16 bytes a sentence are kept of them;
        each further call reads only the words that it compares.

        Args:
          sentence: its words, compared one by one; or its text, compared without white
            space, since of that the store has only what divides words. Where each
            sentence has one vector, the store has its text alone.

        Raises:
          ValueError: the file is damaged.
        """
        if self._texts is None:
            words = (each for block in self.blocks() for each in self.words(block))
            self._texts = TextIndex(words, len(self))
        return self._texts.find(sentence, self.words)

    def __contains__(self, sentence: object) -> bool:
        if isinstance(sentence, str):
            return bool(self.find(sentence))
        if isinstance(sentence, list | tuple) and all(
            isinstance(word, str) for word in sentence
        ):
            return bool(self.find(sentence))
        raise TypeError(
            "a store has sentences, so look for a text or a list of words in it, not "
            f"for {kind_of(sentence)}"
        )

    def blocks(self) -> Iterator[slice]:
        """Yield slices of consecutive sentences, each of so many as to be read at once.

        Together they are all sentences, in order; a block has some megabytes, or one
        sentence.
        """
        block_rows = BLOCK_BYTES // (self.dim * self.dtype.itemsize)
        first = 0
        while first < len(self):
            limit = self.offsets[first] + block_rows
            fitting = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            last = max(fitting, first + 1)
            yield slice(first, last)
            first = last

    def close(self) -> None:
        """Close the file."""
        if "_opened" in self.__dict__:
            self._opened.close()

    def __enter__(self) -> "VectorStore":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _rows_of(self, index: SupportsIndex) -> tuple[int, int]:
        try:
            sentence = range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(
                f"sentence {index} of the {len(self)} in {self.path}"
            ) from None
        return int(self.offsets[sentence]), int(self.offsets[sentence + 1])

    def _read_texts(self, start: int, stop: int) -> list[str]:
        with reading_hdf5(self.path):
            bounds = self._arrays["word_offsets"][start : stop + 1]
        num_bytes = self._arrays["words"].shape[0]
        if (np.diff(bounds, prepend=0, append=num_bytes) < 0).any():
            raise damaged(self.path)
        with reading_hdf5(self.path):
            text = self._arrays["words"][bounds[0] : bounds[-1]].tobytes()
            ends = (bounds - bounds[0]).tolist()
            return [
                text[first:last].decode("utf-8", "surrogatepass")
                for first, last in pairwise(ends)
            ]
