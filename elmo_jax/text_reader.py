# SPDX-License-Identifier: Apache-2.0
"""The text reader of an exported biLM, self-contained: copied beside the program."""

import functools
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BEGIN_WORD, END_WORD, NO_CHARACTER = 259, 260, 261
BOUNDARIES = {"<S>": 257, "</S>": 258}

# Letters to stand for marks, of which no text has all.
_LETTERS = "\u0252\u0264\ua78d\u026f" + "".join(map(chr, range(0x1D00, 0x1D2C)))


class Reader:
    """Converts sentences to rows of word indices, and distinct words to characters."""

    def __init__(
        self, directory: Path, text: Mapping[str, Any], shape_for: Callable[..., tuple]
    ) -> None:
        """Read settings and vocabulary; see `embed_jax.export.spec.Exportable`."""
        self._text, self._shape_for = text, shape_for
        self._vocabulary = {} if "max_characters" in text else _vocabulary(directory)

    def words(self, sentence: str | Sequence[str]) -> list[str]:
        """Return the words of a sentence, split as the tokeniser splits text.

        Raises:
          ValueError: the tokeniser splits as nobody else knows.
        """
        if not isinstance(sentence, str):
            return list(sentence)
        # Artefacts of earlier versions do not say.
        split = self._text.get("split", "unknown")
        if split == "spaces":
            return sentence.split()
        if split == "moses":
            return split_like_moses(sentence, self._text["mark"])
        raise ValueError(
            "how the tokeniser of this model splits text is not in the artefact; give "
            "words that are split (--split), or export the model again"
        )

    def __call__(
        self, sentences: Sequence[str | Sequence[str]], first: int
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Return the inputs, and the positions of the words of each sentence."""
        del first  # A row may be of any length, so there is nothing to refuse.
        types = {"<S>": 0, "</S>": 1}
        rows = [
            [types.setdefault(word, len(types)) for word in self.words(sentence)]
            for sentence in sentences
        ]
        shape = self._shape_for(rows)
        words = np.zeros(shape, np.int32)
        for number, row in enumerate(rows):
            words[number, : len(row)] = row
        lengths = np.zeros((shape[0], 1), np.int64)
        lengths[: len(rows), 0] = [len(row) for row in rows]
        positions = np.arange(shape[1])[None]
        inputs = {
            "types": self._spell(list(types)),
            "words": words,
            "mask": positions < lengths,
            "starts": (positions == 0) & (lengths > 0),
            "ends": positions == lengths - 1,
        }
        return inputs, [np.arange(len(row)) for row in rows]

    def _spell(self, words: list[str]) -> np.ndarray:
        number, _ = self._shape_for([[0]] * len(words))
        if self._vocabulary:
            unknown = self._vocabulary["<UNK>"]
            ids = [self._vocabulary.get(word, unknown) for word in words]
            return np.array(ids + [0] * (number - len(words)), np.int32)
        longest = self._text["max_characters"]
        rows = np.zeros((number, longest), np.int32)
        rows[: len(words)] = NO_CHARACTER
        for row, word in zip(rows, words, strict=False):
            spelled = [byte + 1 for byte in word.encode("utf-8", "ignore")]
            if word in BOUNDARIES:
                spelled = [BOUNDARIES[word]]
            spelled = [BEGIN_WORD, *spelled[: longest - 2], END_WORD]
            row[: len(spelled)] = spelled
        return rows


def split_like_moses(text: str, mark: str) -> list[str]:
    """Split text into words by Moses' script; a mark stays on its letter.

    Args:
      text: the text.
      mark: a regular expression for one combining mark of Unicode.

    Raises:
      ImportError: sacremoses is not installed.
    """
    if text.isascii() or not re.search(mark, text):
        return list(_moses().tokenize(text, escape=False))
    # The marks on a letter or digit.
    marks = re.compile(rf"(?<=[^\W_]){mark}+")
    # A letter in place of each mark: what is split off depends on the kinds of
    # characters alone, and their order stays.
    letter = next(letter for letter in _LETTERS if letter not in text)
    hidden = marks.sub(lambda found: letter * len(found[0]), text)
    words = _moses().tokenize(hidden, escape=False)
    remaining = itertools.chain.from_iterable(marks.findall(text))
    return [re.sub(letter, lambda _: next(remaining), word) for word in words]


@functools.cache
def _moses() -> Any:
    from sacremoses import MosesTokenizer

    return MosesTokenizer("en")


def _vocabulary(directory: Path) -> dict[str, int]:
    lines = (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return {line.split("\t")[0]: index for index, line in enumerate(lines) if line}
