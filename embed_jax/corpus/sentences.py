# SPDX-License-Identifier: Apache-2.0
"""What a sentence may be: the same for every tokeniser, function and command."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

Sentence = str | Sequence[str]
"""Raw text, or words that are already split."""


def check_sentences(sentences: Any) -> Sequence[Sentence]:
    """Refuse what is no list of sentences, and any of them that is no text.

    A bare str would be read as a list of one-letter sentences, and what is no text
    (an empty cell of a table is None or nan) as words that nobody wrote.

    Args:
      sentences: anything, which the types of callers may promise to be sentences.

    Raises:
      ValueError: names the sentence by its index.

    Example:
      >>> check_sentences(["a cat", None])
      Traceback (most recent call last):
      ValueError: sentence 1 is None, not text
    """
    refuse_bare_text(sentences)
    for index, sentence in enumerate(sentences):
        check_sentence(sentence, index)
    return sentences


def refuse_bare_text(sentences: Any) -> None:
    """Refuse one str (or bytes) in place of a list of sentences.

    Raises:
      ValueError: says what to pass.
    """
    if isinstance(sentences, str | bytes | bytearray):
        kind = type(sentences).__name__
        raise ValueError(f"pass a list of sentences, not one {kind}: [sentence]")


def checked(sentences: Iterable[Sentence]) -> Iterator[Sentence]:
    """Yield sentences, each of them checked when it is reached.

    Raises:
      ValueError: names the sentence by its index.
    """
    for index, sentence in enumerate(sentences):
        check_sentence(sentence, index)
        yield sentence


def check_sentence(sentence: Any, index: int) -> None:
    """Check that a sentence is a str, or a sequence of words that are.

    Args:
      sentence: anything. Lists, tuples and arrays of str are sequences of words; a
        set has no order, and the keys of a mapping are no words.
      index: of the sentence, for the message.

    Raises:
      ValueError: names the sentence, and the word, by index.
    """
    if isinstance(sentence, str):
        return
    is_sequence = hasattr(sentence, "__len__") and hasattr(sentence, "__getitem__")
    is_other = isinstance(sentence, bytes | bytearray | memoryview | Mapping | Set)
    if not is_sequence or is_other or not _has_an_axis(sentence):
        raise ValueError(f"sentence {index} is {_described(sentence)}, not text")
    for place, word in enumerate(sentence):
        if not isinstance(word, str):
            raise ValueError(
                f"sentence {index}: word {place} is {_described(word)}, not text"
            )


def _has_an_axis(sentence: Any) -> bool:
    """Return whether it can be iterated: an array of no dimension cannot."""
    return getattr(sentence, "ndim", 1) == 1


def _described(thing: Any) -> str:
    shown = " ".join(repr(thing).split())
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
