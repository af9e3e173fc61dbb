# SPDX-License-Identifier: Apache-2.0
"""What a sentence may be: the same for every tokeniser, function and command."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

Sentence = str | Sequence[str]
"""Raw text, or words that are already split."""


def check_sentences(sentences: Any) -> Sequence[Sentence]:
    """Refuse what is no list of sentences, and any of them that is no text.

    A bare str would be read as a list of one-letter sentences, and what is no text
    (an empty cell of a table is None or nan) as words that nobody wrote.

    Args:
      sentences: anything, which the types of callers may promise to be sentences: a
        list, an array, a column of a table.

    Raises:
      ValueError: names the sentence by its index, and by its label in a table.

    Example:
      >>> check_sentences(["a cat", None])
      Traceback (most recent call last):
      ValueError: sentence 1 is None, not text
    """
    refuse_bare_text(sentences)
    rows = list(checked(sentences))
    return sentences if isinstance(sentences, list) else rows


def refuse_bare_text(sentences: Any) -> None:
    """Refuse one str (or bytes), or a whole table, in place of a list of sentences.

    A table, or a mapping, would be read as the list of the names of its columns.

    Raises:
      ValueError: says what to pass.
    """
    kind = type(sentences).__name__
    if isinstance(sentences, str | bytes | bytearray):
        raise ValueError(f"pass a list of sentences, not one {kind}: [sentence]")
    if isinstance(sentences, Mapping) or hasattr(sentences, "columns"):
        raise ValueError(
            f"pass a list of sentences, not a {kind}: the column that holds them, such "
            'as table["text"]'
        )
    if not hasattr(sentences, "__iter__") or getattr(sentences, "ndim", 1) == 0:
        raise ValueError(f"pass a list of sentences, not {described(sentences)}")


def checked(sentences: Any) -> Iterator[Sentence]:
    """Yield sentences, each of them checked when it is reached.

    Raises:
      ValueError: names the sentence by its index, and by its label in a table.
    """
    labels = _labels(sentences)
    for index, sentence in enumerate(sentences):
        try:
            check_sentence(sentence, index)
        except ValueError as error:
            label: Any = index if labels is None else labels[index]
            if label == index:
                raise
            shown = repr(label.item() if hasattr(label, "item") else label)
            raise ValueError(f"{error} (its label is {shown})") from None
        yield sentence


def check_sentence(sentence: Any, index: int) -> None:
    """Check that a sentence is a str, or a sequence of words that are.

    Args:
      sentence: anything. Lists, tuples and arrays of str are sequences of words; a
        set has no order, and the keys of a mapping are no words. A tuple of texts, that
        is with white space in them, is a pair, or something else that is no sentence.
      index: of the sentence, for the message.

    Raises:
      ValueError: names the sentence, and the word, by index.
    """
    if isinstance(sentence, str):
        return
    is_sequence = hasattr(sentence, "__len__") and hasattr(sentence, "__getitem__")
    is_other = isinstance(sentence, bytes | bytearray | memoryview | Mapping | Set)
    if not is_sequence or is_other or not _has_an_axis(sentence):
        raise ValueError(f"sentence {index} is {described(sentence)}, not text")
    for place, word in enumerate(sentence):
        if not isinstance(word, str):
            raise ValueError(
                f"sentence {index}: word {place} is {described(word)}, not text"
            )
    if isinstance(sentence, tuple) and _are_texts(sentence):
        raise ValueError(
            f"sentence {index} is a tuple of {len(sentence)} texts, not one; pass each "
            "as a sentence of its own, or a list of words. The tokeniser of a BERT "
            "reads pairs: tokenizer(firsts, seconds)"
        )


def _are_texts(parts: tuple[str, ...]) -> bool:
    """Return whether they are texts, not words; a word may hold a blank ("10 000")."""
    with_blanks = [len(part.split()) > 1 for part in parts]
    return any(with_blanks) if len(parts) == 2 else bool(parts) and all(with_blanks)


def _labels(sentences: Any) -> Any:
    """Return the labels of the rows of a column of pandas, or None."""
    return sentences.index if hasattr(sentences, "iloc") else None


def _has_an_axis(sentence: Any) -> bool:
    """Return whether it can be iterated: an array of no dimension cannot."""
    return getattr(sentence, "ndim", 1) == 1


def described(thing: Any) -> str:
    """Return what a message shows of anything: its repr in one line, cut short."""
    shown = " ".join(repr(thing).split())
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
