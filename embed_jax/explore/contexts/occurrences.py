# SPDX-License-Identifier: Apache-2.0
"""Where a word stands in a text: the lines that may hold it, and its place in each."""

import collections
import dataclasses
import difflib
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from embed_jax.corpus.text import read_lines

WORD = re.compile(r"[^\W\d_]+")
# Distinct words among which near forms are looked for, the most frequent.
FORMS_COMPARED = 20_000
# Characters of a line that are kept on either side of the word.
REACH = 240


class Context(NamedTuple):
    """One place where the word stands.

    Attributes:
      line: of the file, from 1; 0 for a sentence that is not from it.
      before: the text of the line before the word, cut where it is long.
      word: as it stands there.
      after: the text after it, cut where it is long.
    """

    line: int
    before: str
    word: str
    after: str

    def show(self, reach: int = 50) -> str:
        """Write the word in brackets with some characters on either side.

        Example:
          >>> Context(1, "We sat by the ", "bank", " of the river.").show(9)
          '…t by the [bank] of the r…'
        """
        before = (
            self.before if len(self.before) <= reach else "…" + self.before[-reach:]
        )
        after = self.after if len(self.after) <= reach else self.after[:reach] + "…"
        return f"{before}[{self.word}]{after}"


@dataclasses.dataclass(frozen=True)
class WordForms:
    """The word that is looked for, in one or several forms.

    Attributes:
      forms: as they stand in the text, none of them empty.
      ignore_case: whether capitals do not matter.
    """

    forms: tuple[str, ...]
    ignore_case: bool = True

    def __post_init__(self) -> None:
        """Refuse what no word can be.

        Raises:
          ValueError: no form, or one that is empty or has a space in it.
        """
        for form in self.forms:
            if form.split() != [form]:
                raise ValueError(
                    f"--word {form!r} is not one word; give each form a --word of its "
                    "own"
                )
        if not self.forms:
            raise ValueError("name the word to look for: --word bank")

    def __str__(self) -> str:
        """List the forms."""
        return ", ".join(self.forms)

    def matches(self, word: str) -> bool:
        """Tell whether a tokeniser's word is one of the forms.

        A tokeniser that splits at spaces only leaves punctuation at a word, which is
        overlooked.

        Example:
          >>> WordForms(("bank",)).matches("Bank,")
          True
        """
        folded = self._fold(word)
        return folded in self._folded or _bare(folded) in self._folded

    def may_stand_in(self, line: str) -> bool:
        """Tell whether a line may hold a form, before any tokeniser has seen it."""
        return self._pattern.search(self._fold(line)) is not None

    def find(self, words: Sequence[str]) -> list[int]:
        """Return the places of the forms among the words of a sentence."""
        return [place for place, word in enumerate(words) if self.matches(word)]

    def _fold(self, text: str) -> str:
        return text.casefold() if self.ignore_case else text

    @functools.cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(self._fold(form) for form in self.forms)

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_bounded, sorted(self._folded))))


def find_lines(corpus: Path, word: WordForms) -> Int64[np.ndarray, " N"]:
    """Find the lines that may hold a word.

    Returns:
      Their numbers, from 0, in the order of the file.

    Raises:
      ValueError: none does; the message names similar words that the file has. Or the
        file is not UTF-8.
      OSError: the file cannot be read.
    """
    numbers = [
        index
        for index, line in enumerate(read_lines(corpus))
        if word.may_stand_in(line)
    ]
    if not numbers:
        raise ValueError(f"{corpus} has no word {word}; {_near_forms(corpus, word)}")
    return np.array(numbers, np.int64)


def sample_evenly(count: int, limit: int) -> Int64[np.ndarray, " N"]:
    """Choose at most `limit` of `count` things, equally far apart.

    Example:
      >>> sample_evenly(10, 4).tolist()
      [0, 2, 5, 7]
    """
    kept = min(count, limit)
    return np.arange(kept, dtype=np.int64) * count // max(kept, 1)


def read_numbered(
    corpus: Path, numbers: Int64[np.ndarray, " N"]
) -> Iterator[tuple[int, str]]:
    """Yield the lines of these numbers, from 0 and ascending, each with its number."""
    wanted = iter(numbers.tolist())
    following = next(wanted, None)
    for index, line in enumerate(read_lines(corpus)):
        if following is None:
            return
        if index == following:
            yield index, line
            following = next(wanted, None)


def cut_context(number: int, text: str, words: Sequence[str], place: int) -> Context:
    """Cut a sentence at one of its words.

    Args:
      number: of the line, from 1.
      text: of the sentence.
      words: of the sentence, as the tokeniser split it.
      place: index of the word.

    Returns:
      The word and what is on either side of it: of the text, or where the tokeniser
      changed that, of its words with spaces between them.

    Example:
      >>> cut_context(1, "A bank's bank.", ["A", "bank", "'", "s", "bank", "."], 4)
      Context(line=1, before="A bank's ", word='bank', after='.')
    """
    start = end = 0
    for word in words[: place + 1]:
        start = text.find(word, end)
        if start < 0:
            before = " ".join([*words[:place], ""])
            after = " ".join(["", *words[place + 1 :]])
            return _shortened(number, before, words[place], after)
        end = start + len(word)
    return _shortened(number, text[:start], text[start:end], text[end:])


def _shortened(number: int, before: str, word: str, after: str) -> Context:
    """Keep so much of the line that a page of thousands stays small."""
    if len(before) > REACH:
        before = "… " + before[-REACH:].partition(" ")[2]
    if len(after) > REACH:
        after = after[:REACH].rpartition(" ")[0] + " …"
    return Context(number, before.lstrip(), word, after.rstrip())


def _bounded(form: str) -> str:
    """Write the pattern of a form that is not part of a longer word.

    Scripts without capitals may be written without spaces; there anything that
    contains the form may hold it, and the tokeniser decides.
    """
    letter = r"[^\W_]"
    start = f"(?<!{letter})" if _ends_at_spaces(form[0]) else ""
    end = f"(?!{letter})" if _ends_at_spaces(form[-1]) else ""
    return f"{start}{re.escape(form)}{end}"


def _ends_at_spaces(character: str) -> bool:
    return character.isdecimal() or character.lower() != character.upper()


def _bare(word: str) -> str:
    """Strip what is neither letter nor digit from both ends."""
    inside = [index for index, character in enumerate(word) if character.isalnum()]
    return word[inside[0] : inside[-1] + 1] if inside else word


def _near_forms(corpus: Path, word: WordForms) -> str:
    counts = collections.Counter(
        itertools.chain.from_iterable(map(WORD.findall, read_lines(corpus)))
    )
    common = dict(counts.most_common(FORMS_COMPARED))
    near: dict[str, int] = {}
    for form in word.forms:
        folded = form.casefold()
        same = [other for other in common if other.casefold() == folded]
        longer = [
            other
            for other in common
            if len(folded) > 3 and other.casefold().startswith(folded[:-1])
        ]
        close = difflib.get_close_matches(folded, common, n=4)
        near |= {other: common[other] for other in [*same, *close, *longer[:4]]}
    if not near:
        return "nor one like it"
    listed = ", ".join(f'"{other}" ({count:,})' for other, count in near.items())
    return f"near ones that it has: {listed}"
