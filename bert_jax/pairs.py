# SPDX-License-Identifier: Apache-2.0
"""Pairs of texts among the sentences that a tokeniser is given: tuples of two."""

from collections.abc import Sequence
from typing import Any

from embed_jax.corpus.sentences import (
    Sentence,
    check_sentence,
    described,
    refuse_bare_text,
)


def hold_pairs(sentences: Any) -> bool:
    """Return whether any of the sentences is a tuple.

    Raises:
      ValueError: two texts in a tuple, which may be a pair or two sentences.
    """
    refuse_bare_text(sentences)
    is_tuple_of_two = isinstance(sentences, tuple) and len(sentences) == 2
    if is_tuple_of_two and all(isinstance(text, str) for text in sentences):
        raise ValueError(
            f"{described(sentences)} may be a pair or two sentences: [(a, b)] is a "
            "pair, and [a, b] are two sentences"
        )
    return any(isinstance(sentence, tuple) for sentence in sentences)


def split_pairs(
    sentences: Sequence[Any],
) -> tuple[list[Sentence], list[Sentence | None]]:
    """Split sentences into first texts and second ones, None where there is no second.

    Args:
      sentences: each a str, a list of words, or a pair: a tuple of two of these.

    Raises:
      ValueError: a tuple of another length.

    Example:
      >>> split_pairs(["a cat", ("a cat", ["a", "dog"])])
      (['a cat', 'a cat'], [None, ['a', 'dog']])
    """
    firsts: list[Sentence] = []
    seconds: list[Sentence | None] = []
    for index, sentence in enumerate(sentences):
        first, second = sentence, None
        if isinstance(sentence, tuple):
            first, second = _pair(sentence, index)
        firsts.append(first)
        seconds.append(second)
    return firsts, seconds


def _pair(sentence: tuple, index: int) -> tuple[Sentence, Sentence]:
    if len(sentence) != 2:
        check_sentence(sentence, index)
        raise ValueError(
            f"sentence {index} is a tuple of {len(sentence)}; a pair is a tuple of two "
            "texts, and the words of one text are a list"
        )
    for half in sentence:
        if isinstance(half, str | list):
            check_sentence(half, index)
        else:
            check_sentence(sentence, index)
    return sentence
