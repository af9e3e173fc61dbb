# SPDX-License-Identifier: Apache-2.0
"""Counting of words that a vocabulary lacks, and what is said or refused for it.

A vocabulary that does not belong to a text, a text in capitals for a model without
them, or words that are split in another way all end alike: everything becomes the one
unknown word, and the vectors are of nothing.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, Protocol, TypeVar, runtime_checkable

OfUnknown = Literal["warn", "error"]
"""What to do with a text of which no word is known."""

WORTH_SAYING = 0.1
"""Share from which unknown words are said. Published vocabularies of words leave 1 to 5
percent of running text unknown and those of word pieces 0.1, so a tenth is a mismatch,
or a text of another kind than the model's."""

# Of fewer words, a share says little unless it is all of them.
_FEWEST = 10
# Words after which a text without a known one is refused, and not read to its end.
_ENOUGH = 1000
_CAUSES = (
    "is the vocabulary the model's, and the text in its language, its case and split "
    "into words as its own was?"
)


@runtime_checkable
class WordsOfSentence(Protocol):
    """A sentence that was looked up, such as `embed_jax.corpus.stream.Item`."""

    @property
    def words(self) -> Sequence[str]:
        """Its words."""
        ...

    @property
    def unknown(self) -> Sequence[int]:
        """Indices of those that the vocabulary lacks."""
        ...


SentenceT = TypeVar("SentenceT", bound=WordsOfSentence)


def judge_unknown(
    num_unknown: int,
    num_words: int,
    *,
    of: str,
    example: str = "",
    no_known: OfUnknown = "warn",
) -> None:
    """Warn of many unknown words, or refuse a text of them only.

    Args:
      num_unknown: words that the vocabulary lacks.
      num_words: words of the text.
      of: what they are words of, for the message.
      example: an unknown word.
      no_known: whether a text without one known word is warned of or refused.

    Raises:
      ValueError: no word is known, and `no_known` is "error".

    Example:
      >>> judge_unknown(2, 2, of="the text", example="EST", no_known="error")
      Traceback (most recent call last):
      ValueError: not one of the 2 words of the text is known to the vocabulary \
('EST' is not); is the vocabulary the model's, and the text in its language, its case \
and split into words as its own was?
    """
    if not num_words or not num_unknown:
        return
    shown = f" ({example[:40]!r} is not)" if example else ""
    if num_unknown == num_words:
        message = (
            f"not one of the {num_words:,} words of {of} is known to the vocabulary"
            f"{shown}; {_CAUSES}"
        )
        if no_known == "error":
            raise ValueError(message)
        logging.getLogger(__name__).warning("%s", message)
    elif num_words >= _FEWEST and num_unknown >= WORTH_SAYING * num_words:
        logging.getLogger(__name__).warning(
            "%.0f%% of the words of %s (%s of %s) are unknown to the vocabulary%s; %s",
            100 * num_unknown / num_words,
            of,
            f"{num_unknown:,}",
            f"{num_words:,}",
            shown,
            _CAUSES,
        )


def judged(items: Iterable[SentenceT], no_known: OfUnknown) -> Iterator[SentenceT]:
    """Yield items, and judge their unknown words at the end, once.

    Args:
      items: of one text.
      no_known: see `judge_unknown`.

    Raises:
      ValueError: no word is known, and `no_known` is "error"; of a long text before
        its end.
    """
    num_words = num_unknown = 0
    example = ""
    for item in items:
        num_words += len(item.words)
        num_unknown += len(item.unknown)
        if item.unknown and not example:
            example = item.words[item.unknown[0]]
        if no_known == "error" and num_words == num_unknown > _ENOUGH:
            break
        yield item
    judge_unknown(
        num_unknown, num_words, of="the text", example=example, no_known=no_known
    )
