# SPDX-License-Identifier: Apache-2.0
"""Occurrences of a word in a text: the lines that may contain it, and its contexts."""

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

from embed_jax.corpus.combining import MARK
from embed_jax.corpus.layout import Layout
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.text import check_rereadable, read_sentences
from embed_jax.corpus.words import same_form, text_of
from embed_jax.messages import printable

WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|{MARK})*")
_LETTER = re.compile(rf"[^\W_]{MARK}*")
# Distinct words among which near forms are looked for, the most frequent.
FORMS_COMPARED = 20_000
# Characters of a line that are kept on either side of the word.
REACH = 240


class Context(NamedTuple):
    """One occurrence of the word.

    Attributes:
      line: number in the file, from 1; 0 for a sentence that is not from it.
      before: the text of the line before the word, cut if it is long.
      word: in the form of the text.
      after: the text after the word, cut if it is long.
    """

    line: int
    before: str
    word: str
    after: str

    def show(self, reach: int = 50) -> str:
        """Return the word in brackets with up to `reach` characters on either side.

        Example:
          >>> Context(1, "We sat by the ", "bank", " of the river.").show(9)
          '…t by the [bank] of the r…'
        """
        before = (
            self.before if len(self.before) <= reach else "…" + self.before[-reach:]
        )
        after = self.after if len(self.after) <= reach else self.after[:reach] + "…"
        return printable(f"{before}[{self.word}]{after}")


@dataclasses.dataclass(frozen=True)
class WordForms:
    """The word to search, in one or several forms.

    Attributes:
      forms: the forms, none of them empty.
      ignore_case: whether upper and lower case are the same.
    """

    forms: tuple[str, ...]
    ignore_case: bool = True

    def __post_init__(self) -> None:
        """Check the forms.

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
        """Return whether a word of the tokeniser is one of the forms.

        Punctuation at the ends of the word is ignored, for tokenisers that split at
        spaces only. A mark on a letter may be written either way Unicode has for it.

        Example:
          >>> WordForms(("bank",)).matches("Bank,")
          True
        """
        folded = self._fold(word)
        return folded in self._folded or _bare(folded) in self._folded

    def may_stand_in(self, line: str) -> bool:
        """Return whether an untokenised line may contain a form."""
        return self._pattern.search(self._fold(line)) is not None

    def find(self, words: Sequence[str]) -> list[int]:
        """Return the indices of the forms among the words of a sentence."""
        return [place for place, word in enumerate(words) if self.matches(word)]

    def _fold(self, text: str) -> str:
        return same_form(text, ignore_case=self.ignore_case)

    @functools.cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(self._fold(form) for form in self.forms)

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_bounded, sorted(self._folded))))


def find_lines(
    corpus: Path, word: WordForms, layout: Layout | None = None
) -> Int64[np.ndarray, " N"]:
    """Find the lines that may contain a word, of CoNLL the sentences.

    Returns:
      Their numbers, from 0, in the order of the file.

    Raises:
      ValueError: there is none; the message names similar words of the file. Or the
        file is not UTF-8, or none that can be read twice.
      OSError: the file cannot be read.
    """
    check_rereadable(corpus)
    numbers = [
        index
        for index, sentence in enumerate(read_sentences(corpus, layout))
        if word.may_stand_in(text_of(sentence))
    ]
    if not numbers:
        near = _near_forms(corpus, word, layout)
        raise ValueError(f"{corpus} has no word {word}; {near}")
    return np.array(numbers, np.int64)


def sample_evenly(count: int, limit: int) -> Int64[np.ndarray, " N"]:
    """Choose at most `limit` of `count` indices, evenly spaced.

    Example:
      >>> sample_evenly(10, 4).tolist()
      [0, 2, 5, 7]
    """
    kept = min(count, limit)
    return np.arange(kept, dtype=np.int64) * count // max(kept, 1)


def read_numbered(
    corpus: Path, numbers: Int64[np.ndarray, " N"], layout: Layout | None = None
) -> Iterator[tuple[int, Sentence]]:
    """Yield `(number, line)` for the given line numbers, from 0 and ascending."""
    wanted = iter(numbers.tolist())
    following = next(wanted, None)
    for index, line in enumerate(read_sentences(corpus, layout)):
        if following is None:
            return
        if index == following:
            yield index, line
            following = next(wanted, None)


def cut_context(number: int, text: str, words: Sequence[str], place: int) -> Context:
    """Cut a sentence into a word and the text before and after it.

    Args:
      number: of the line, from 1.
      text: of the sentence.
      words: of the sentence, as the tokeniser split it.
      place: index of the word.

    Returns:
      The word with the text on either side; where the tokeniser changed the text, with
      the tokeniser's words, joined by spaces.

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
    """Make a context whose text on either side is cut to a maximal length."""
    if len(before) > REACH:
        before = "… " + before[-REACH:].partition(" ")[2]
    if len(after) > REACH:
        after = after[:REACH].rpartition(" ")[0] + " …"
    return Context(number, before.lstrip(), word, after.rstrip())


def _bounded(form: str) -> str:
    """Return a regular expression for a form that is not part of a longer word.

    Scripts without upper case may be written without spaces; there any text that
    contains the form matches, and the tokeniser decides.
    """
    letter = r"[^\W_]"
    start = f"(?<!{letter})(?<!{MARK})" if _ends_at_spaces(form[0]) else ""
    end = f"(?!{letter})(?!{MARK})" if _ends_at_spaces(form[-1]) else ""
    return f"{start}{re.escape(form)}{end}"


def _ends_at_spaces(character: str) -> bool:
    return character.isdecimal() or character.lower() != character.upper()


def _bare(word: str) -> str:
    """Strip what is neither letter nor digit, nor a mark on one, from both ends."""
    inside = [match.span() for match in _LETTER.finditer(word)]
    return word[inside[0][0] : inside[-1][1]] if inside else word


def _near_forms(corpus: Path, word: WordForms, layout: Layout | None) -> str:
    lines = map(text_of, read_sentences(corpus, layout))
    counts = collections.Counter(
        itertools.chain.from_iterable(map(WORD.findall, lines))
    )
    common = dict(counts.most_common(FORMS_COMPARED))
    near: dict[str, int] = {}
    for form in word.forms:
        folded = same_form(form)
        same = [other for other in common if same_form(other) == folded]
        longer = [
            other
            for other in common
            if len(folded) > 3 and same_form(other).startswith(folded[:-1])
        ]
        close = difflib.get_close_matches(folded, common, n=4)
        near |= {other: common[other] for other in [*same, *close, *longer[:4]]}
    if not near:
        return "nor one like it"
    listed = ", ".join(f'"{other}" ({count:,})' for other, count in near.items())
    return f"near ones that it has: {listed}"
