# SPDX-License-Identifier: Apache-2.0
"""The text reader of an exported biLM, self-contained: copied beside the program."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BEGIN_WORD, END_WORD, NO_CHARACTER = 259, 260, 261
BOUNDARIES = {"<S>": 257, "</S>": 258}


class Reader:
    """Converts sentences to rows of word indices, and distinct words to characters."""

    def __init__(
        self, directory: Path, text: Mapping[str, Any], shape_for: Callable[..., tuple]
    ) -> None:
        """Read settings and vocabulary; see `embed_jax.export.spec.Exportable`."""
        self._text, self._shape_for = text, shape_for
        self._vocabulary = {} if "max_characters" in text else _vocabulary(directory)

    def __call__(
        self, sentences: Sequence[Sequence[str]], first: int
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Return the inputs, and the positions of the words of each sentence."""
        del first  # A row may be of any length, so there is nothing to refuse.
        types = {"<S>": 0, "</S>": 1}
        rows = [
            [types.setdefault(word, len(types)) for word in words]
            for words in sentences
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


def _vocabulary(directory: Path) -> dict[str, int]:
    lines = (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return {line.split("\t")[0]: index for index, line in enumerate(lines) if line}
