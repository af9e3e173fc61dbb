# SPDX-License-Identifier: Apache-2.0
"""Stores of words for a biLM, with the characters and the target of each distinct word.

The ids of a store are types, the distinct words of its text. So a word outside the
vocabulary is still read by its characters, and predicted as `<UNK>`.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt

from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN, character_rows
from elmo_jax.tokenizer import split_words
from elmo_jax.vocabulary import SPECIALS, UNKNOWN_TOKEN, Vocabulary, read_vocabulary
from embed_jax.corpus.words import split_at_spaces
from train.data.prepared import check_beside
from train.data.store import (
    REMEDY,
    StoreWriter,
    TokenStore,
    open_array,
    open_arrays,
    written_store,
)

VOCABULARY = "vocab.txt"
TYPES, COUNTS = "types.txt", "counts.npy"
TARGETS, CHARACTERS = "targets.npy", "characters.npy"

# Rows of characters that are spelled at a time: some megabytes.
_CHUNK = 1 << 14
# A line that `read_vocabulary` passes over, so no vocabulary can hold the word.
_UNWRITABLE = {"!!!MAXTERMID"}


@dataclasses.dataclass(frozen=True, eq=False)
class WordStore(TokenStore):
    """Sentences of word types.

    Attributes:
      targets: for each type its id in the vocabulary, or that of `<UNK>`, int32.
      characters: for each type its row of characters (`elmo_jax.characters`), uint16.
      vocabulary: the words that are predicted.
    """

    targets: Int[np.ndarray, " U"]
    characters: UInt[np.ndarray, "U C"]
    vocabulary: Vocabulary

    @classmethod
    def open(cls, path: Path) -> "WordStore":
        """Open a store (memory-mapped) and the vocabulary beside it.

        Raises:
          ValueError: no store, one of another kind, or a damaged one.
        """
        arrays = open_arrays(path)
        targets = open_array(path / TARGETS, (np.int32,))
        characters = open_array(path / CHARACTERS, (np.uint16,), ndim=2)
        check_beside(path.parent, VOCABULARY)
        vocabulary = read_vocabulary(path.parent / VOCABULARY)
        if len(targets) != len(characters):
            raise ValueError(
                f"{path / TARGETS} has {len(targets)} types, but "
                f"{path / CHARACTERS} {len(characters)}; {REMEDY}"
            )
        if targets.max(initial=0) >= len(vocabulary):
            raise ValueError(
                f"{path / TARGETS} is of a larger vocabulary than "
                f"{path.parent / VOCABULARY} with its {len(vocabulary)} words; {REMEDY}"
            )
        store = cls(path, *arrays, targets, characters, vocabulary)
        store.check()
        store.check_ids(len(targets), f"{path / TARGETS}")
        return store

    @functools.cached_property
    def types(self) -> list[str]:
        """The word of each type.

        Raises:
          ValueError: the file is missing, or does not match the others.
        """
        words = read_types(self.path)
        if len(words) != len(self.targets):
            raise ValueError(
                f"{self.path / TYPES} has {len(words)} words, but there are "
                f"{len(self.targets)} types; {REMEDY}"
            )
        return words


def splitter(split: Literal["moses", "whitespace"]) -> Callable[[str], list[str]]:
    """Return the function that splits a sentence into words."""
    return split_words if split == "moses" else split_at_spaces


class WordShard:
    """A shard of the text, with types numbered in order of appearance."""

    def __init__(self, path: Path) -> None:
        """Begin a shard in an empty directory."""
        self._ids: dict[str, int] = {}
        self._counts: list[int] = []
        # How many types there will be is not known before the end.
        self._writer = StoreWriter(path, 1 << 32, synced=False)

    def append(self, sentences: Iterable[Sequence[str]]) -> None:
        """Add a document, given as the words of its sentences."""
        self._writer.append([self._number(words) for words in sentences])

    def __enter__(self) -> "WordShard":
        """Return the shard, which is written until the block ends."""
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish the files."""
        self._writer.__exit__(exc_type, exc, traceback)
        write_types(self._writer.path, self._ids)
        np.save(self._writer.path / COUNTS, np.array(self._counts, np.int64))

    def _number(self, words: Sequence[str]) -> UInt[np.ndarray, " T"]:
        ids = [self._ids.setdefault(word, len(self._ids)) for word in words]
        self._counts.extend([0] * (len(self._ids) - len(self._counts)))
        for index in ids:
            self._counts[index] += 1
        return np.array(ids, np.uint32)


def count_words(shards: Iterable[Path]) -> collections.Counter[str]:
    """Count the occurrences of each word in shards."""
    counts: collections.Counter[str] = collections.Counter()
    for shard in shards:
        of_types = open_array(shard / COUNTS, (np.int64,)).tolist()
        for word, count in zip(read_types(shard), of_types, strict=True):
            counts[word] += count
    return counts


def by_frequency(counts: Mapping[str, int]) -> list[str]:
    """List words by descending frequency, ties in alphabetical order.

    Example:
      >>> by_frequency({"b": 2, "a": 2, "the": 9})
      ['the', 'a', 'b']
    """
    return sorted(counts, key=lambda word: (-counts[word], word))


def make_vocabulary(
    counts: Mapping[str, int], num_sentences: int, vocab_size: int, min_count: int
) -> Vocabulary:
    """Make a vocabulary of the three specials and the most frequent words.

    Args:
      counts: number of occurrences of each word.
      num_sentences: number of occurrences of a boundary.
      vocab_size: maximal number of words, specials included.
      min_count: rarer words are left out.

    Example:
      >>> make_vocabulary({"a": 3, "b": 1}, 2, 10, 2).words
      ('<S>', '</S>', '<UNK>', 'a')
    """
    ordinary = [
        word
        for word in by_frequency(counts)
        if counts[word] >= min_count and word not in SPECIALS
        if word not in _UNWRITABLE
    ][: vocab_size - len(SPECIALS)]
    num_tokens = sum(counts.values())
    num_unknown = num_tokens - sum(counts[word] for word in ordinary)
    of_specials = {
        BEGIN_TOKEN: num_sentences,
        END_TOKEN: num_sentences,
        UNKNOWN_TOKEN: num_unknown,
    }
    return Vocabulary(
        words=(*of_specials, *ordinary),
        counts=(*of_specials.values(), *(counts[word] for word in ordinary)),
    )


def join_shards(
    shards: Sequence[Path],
    path: Path,
    counts: Mapping[str, int],
    vocabulary: Vocabulary,
    max_characters: int,
) -> None:
    """Write a store from shards, one after the other; the frequent types come first.

    Args:
      shards: directories that `WordShard` wrote.
      path: the store to write, atomically.
      counts: of their words, from `count_words`.
      vocabulary: the words that are predicted.
      max_characters: C of the rows of characters.
    """
    words = by_frequency(counts)
    ids = {word: index for index, word in enumerate(words)}
    with written_store(path, max(len(words), 1)) as writer:
        for shard in shards:
            part = TokenStore.open(shard)
            renumbered = np.array([ids[w] for w in read_types(shard)], np.uint32)
            writer.extend(
                renumbered[part.tokens],
                np.diff(part.sentence_starts),
                np.diff(part.document_starts),
            )
        write_types(writer.path, words)
        np.save(writer.path / TARGETS, vocabulary.encode(words))
        np.save(writer.path / CHARACTERS, np.zeros((0, max_characters), np.uint16))
        if words:
            _write_characters(writer.path / CHARACTERS, words, max_characters)


def _write_characters(path: Path, words: Sequence[str], max_characters: int) -> None:
    shape = len(words), max_characters
    rows = np.lib.format.open_memmap(path, "w+", np.uint16, shape)
    for begin in range(0, len(words), _CHUNK):
        chunk = words[begin : begin + _CHUNK]
        rows[begin : begin + len(chunk)] = character_rows(chunk, max_characters)
    rows.flush()


def write_types(directory: Path, words: Iterable[str]) -> None:
    """Write words, one a line. None contains a line feed, where both splits split."""
    with (directory / TYPES).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{word}\n" for word in words)


def read_types(directory: Path) -> list[str]:
    """Read the words that `write_types` wrote.

    Raises:
      ValueError: the file is missing or damaged.
    """
    try:
        content = (directory / TYPES).read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise ValueError(f"{directory / TYPES}: no such file; {REMEDY}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{directory / TYPES} is not UTF-8; {REMEDY}") from error
    return content.split("\n")[:-1]


def longer_words(words: Iterable[str], max_characters: int) -> list[str]:
    """List the words that are too long for a row of characters and are cut.

    Example:
      >>> longer_words(["a", "bank", "<S>"], 5)
      ['bank']
    """
    room = max_characters - 2
    return [
        word
        for word in words
        if len(word.encode("utf-8")) > room and word not in (BEGIN_TOKEN, END_TOKEN)
    ]
