# SPDX-License-Identifier: Apache-2.0
"""Counting of sentences that hold, as text, a token that the model adds itself."""

from collections.abc import Sequence

from embed_jax.corpus.sentences import Sentence


class MarkCounter:
    """Counts sentences that hold a mark, such as `<S>` or [CLS], on their way past.

    Attributes:
      marks: the tokens to look for.
      count: number of sentences with one of them so far.
      held: those of the marks that occurred.
    """

    def __init__(self, marks: Sequence[str]) -> None:
        """Start without sentences."""
        self.marks = tuple(marks)
        self.count = 0
        self.held: set[str] = set()

    def note(self, sentence: Sentence) -> None:
        """Count a sentence."""
        # A word of a list holds a mark only if it is one; text may be split anywhere.
        found = [mark for mark in self.marks if mark in sentence]
        self.count += bool(found)
        self.held.update(found)

    def watch_document(self, document: list[str]) -> list[str]:
        """Return a document, given as its sentences, and count these."""
        for sentence in document:
            self.note(sentence)
        return document

    def describe(self) -> str | None:
        """Return a line about the sentences with marks; None if there is none."""
        return describe_marked(self.count, [m for m in self.marks if m in self.held])


def describe_marked(count: int, marks: Sequence[str]) -> str | None:
    """Return a line about sentences with marks; None if there is none.

    Example:
      >>> describe_marked(2, ["<S>", "</S>"])
      '2 sentences hold <S> or </S>, which the model does not read as words of the \
text: take them out'
    """
    if not count:
        return None
    sentences = "1 sentence holds" if count == 1 else f"{count:,} sentences hold"
    return (
        f"{sentences} {' or '.join(marks)}, which the model does not read as words of "
        "the text: take them out"
    )
