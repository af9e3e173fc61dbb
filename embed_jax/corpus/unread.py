# SPDX-License-Identifier: Apache-2.0
"""Words that no model read: how many, and where the first one stands."""

import dataclasses

from embed_jax.corpus.stream import Embedded


@dataclasses.dataclass
class UnreadWords:
    """Counts the words of a corpus that have no vector of their own.

    Attributes:
      count: so many were noted.
      first: says where the first of them stands.

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
        """Count those of one sentence, the corpus's `line`, from 1."""
        if embedded.unread and not self.count:
            index = embedded.unread[0]
            self.first = f"line {line}, word {index + 1}, {embedded.words[index]!r}"
        self.count += len(embedded.unread)
