# SPDX-License-Identifier: Apache-2.0
"""Counting of words that the model did not read."""

import dataclasses

from embed_jax.corpus.stream import Embedded


@dataclasses.dataclass
class UnreadWords:
    """Counts the words of a corpus that the model did not read (`Embedded.unread`).

    Attributes:
      count: number of such words.
      first: describes the position of the first one.

    Example:
      >>> import numpy as np
      >>> unread = UnreadWords()
      >>> unread.note(7, Embedded(["a", "?"], np.zeros((2, 1), np.float32), (1,)))
      >>> unread.first
      "line 7, word 2, '?'"
    """

    count: int = 0
    first: str = ""

    def note(self, line: int, embedded: Embedded) -> None:
        """Count the unread words of one sentence; `line` is its number, from 1."""
        if embedded.unread and not self.count:
            index = embedded.unread[0]
            self.first = f"line {line}, word {index + 1}, {embedded.words[index]!r}"
        self.count += len(embedded.unread)
