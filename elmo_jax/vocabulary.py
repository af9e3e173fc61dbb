# SPDX-License-Identifier: Apache-2.0
"""Vocabularies: the words of a softmax or of a word table."""

import dataclasses
import functools
import gzip
import itertools
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN
from embed_jax.corpus.vocabulary_lines import (
    refuse_counts,
    vocabulary_lines,
    without_blanks,
)
from embed_jax.files.output_file import open_output

UNKNOWN_TOKEN = "<UNK>"
SPECIALS = (BEGIN_TOKEN, END_TOKEN, UNKNOWN_TOKEN)

# Lines of bilm-tf's vocabularies that stand for nothing.
_SKIPPED = "!!!MAXTERMID"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Words by id; a word's id is its line in the file.

    Attributes:
      words: all of them, `<S>`, `</S>` and `<UNK>` included, each once.
      counts: number of occurrences of each in the original corpus, descending except
        for the specials, or empty if the file has none.
    """

    words: tuple[str, ...]
    counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check words and counts.

        Raises:
          ValueError: a special is missing, a word occurs twice, or counts are not one
            a word or not descending.
        """
        if len(self.ids) != len(self.words):
            seen: set[str] = set()
            for number, word in enumerate(self.words, start=1):
                if word in seen:
                    first = self.words.index(word) + 1
                    raise ValueError(
                        f"line {number} repeats {word!r} of line {first}; every id "
                        "after it would be ambiguous, so make the vocabulary anew"
                    )
                seen.add(word)
        missing = [special for special in SPECIALS if special not in self.ids]
        if missing:
            raise ValueError(
                f"no line {missing[0]!r}; a vocabulary holds {', '.join(SPECIALS)} "
                "and is the one that the model was trained with"
            )
        if self.counts:
            self._check_counts()

    def _check_counts(self) -> None:
        if len(self.counts) != len(self.words):
            raise ValueError(f"{len(self.words)} words but {len(self.counts)} counts")
        ordinary = [
            (number, count)
            for number, (word, count) in enumerate(
                zip(self.words, self.counts, strict=True), start=1
            )
            if word not in SPECIALS
        ]
        for (_, before), (number, count) in itertools.pairwise(ordinary):
            if count > before:
                raise ValueError(
                    f"line {number}: {self.words[number - 1]!r} occurs {count} times, "
                    f"more than the word before it ({before}); sort the vocabulary by "
                    "falling frequency, which sampling relies on"
                )

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """The id of every word."""
        return {word: index for index, word in enumerate(self.words)}

    @property
    def begin_id(self) -> int:
        """The id of `<S>`."""
        return self.ids[BEGIN_TOKEN]

    @property
    def end_id(self) -> int:
        """The id of `</S>`."""
        return self.ids[END_TOKEN]

    @property
    def unknown_id(self) -> int:
        """The id of `<UNK>`."""
        return self.ids[UNKNOWN_TOKEN]

    def __len__(self) -> int:
        """Number of words, specials included."""
        return len(self.words)

    def unknown_of(self, words: Sequence[str]) -> tuple[int, ...]:
        """Return the indices of the words that are not in the vocabulary."""
        known = self.ids
        return tuple(index for index, word in enumerate(words) if word not in known)

    def encode(self, words: Sequence[str]) -> Int[np.ndarray, " W"]:
        """Return the id of each word, int32; that of `<UNK>` for unknown ones."""
        unknown = self.unknown_id
        ids = (self.ids.get(word, unknown) for word in words)
        return np.fromiter(ids, np.int32, len(words))


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary: a word a line, optionally with a tab and its count.

    Only a line feed ends a line; words may contain Unicode's other line separators.
    White space at the ends of a word is stripped, as in bilm-tf: no word of a text has
    any, so all of them would be unknown.

    Raises:
      ValueError: a bad line, a repeated word, counts that increase, a missing special,
        or a damaged file; names the file and the line.
      OSError: the file cannot be read.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short: {error}") from error
    words, counts = [], []
    lines = vocabulary_lines(content, str(path))
    refuse_counts([line for line in lines if "\t" not in line], SPECIALS, str(path))
    for number, text in enumerate(lines, start=1):
        word, tab, count = text.partition("\t")
        if not count.strip():  # a blank at the end of the line, and no count
            word, tab = text, ""
        word = without_blanks(word)
        if word == _SKIPPED:
            continue
        if not word.strip(" \t\r"):
            raise ValueError(f"{path}, line {number} is empty; a line holds a word")
        if tab:
            if not count.strip().isdecimal():
                raise ValueError(
                    f"{path}, line {number}: after the tab stands {count!r}, "
                    "which is no count"
                )
            counts.append(int(count))
        words.append(word)
    if counts and len(counts) != len(words):
        raise ValueError(f"{path}: some lines have a count and some have none")
    try:
        return Vocabulary(tuple(words), tuple(counts))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_vocabulary(path: Path, vocabulary: Vocabulary) -> None:
    """Write a vocabulary atomically, in the form that `read_vocabulary` reads.

    Raises:
      ValueError: a word that a line cannot hold.
      OSError: the disk is full or fails.
    """
    for word in vocabulary.words:
        is_lost = without_blanks(word) != word or word[-1:] == "\r"
        if not word or word == _SKIPPED or {"\t", "\n", "\0"} & set(word) or is_lost:
            raise ValueError(
                f"{path}: {word!r} cannot be a line of a vocabulary, where a tab, a "
                "line end, a NUL, white space at an end or nothing would be read as "
                "something else"
            )
    if vocabulary.counts:
        pairs = zip(vocabulary.words, vocabulary.counts, strict=True)
        lines = [f"{word}\t{count}" for word, count in pairs]
    else:
        lines = list(vocabulary.words)
    content = ("\n".join(lines) + "\n").encode("utf-8")
    with open_output(path) as file:
        file.write(gzip.compress(content) if path.suffix == ".gz" else content)
