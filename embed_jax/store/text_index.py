# SPDX-License-Identifier: Apache-2.0
"""Finding the sentences of a store by their text, after one pass over its words."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import UInt

Sentence = str | Sequence[str]


class TextIndex:
    """The sentences of a store by a digest of their text: 16 bytes a sentence.

    White space is left out of it, for a store keeps words and not what stood between
    them; whoever finds a sentence looks at its words.
    """

    def __init__(self, sentences: Iterable[Sentence], number: int) -> None:
        """Read the sentences, each as its words.

        Args:
          sentences: all, in order.
          number: of them.
        """
        digests = np.fromiter(map(digest_of, sentences), np.uint64, number)
        self._order = np.argsort(digests, kind="stable")
        self._digests: UInt[np.ndarray, " N"] = digests[self._order]

    def find(self, sentence: Sentence, words: Callable[[int], list[str]]) -> list[int]:
        """Return the indices of the sentences that are this one, ascending.

        Args:
          sentence: a text, or its words.
          words: returns the words of the sentence of an index.
        """
        digest = digest_of(sentence)
        first, last = (
            int(np.searchsorted(self._digests, np.uint64(digest), side))
            for side in ("left", "right")
        )
        found = self._order[first:last].tolist()
        if isinstance(sentence, str):
            text = _squeezed(sentence)
            return [index for index in found if _squeezed(words(index)) == text]
        return [index for index in found if words(index) == list(sentence)]


def _squeezed(sentence: Sentence) -> str:
    text = sentence if isinstance(sentence, str) else " ".join(sentence)
    return "".join(text.split())


def digest_of(sentence: Sentence) -> int:
    """Return 64 bits of what a sentence says, white space left out."""
    content = _squeezed(sentence).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
