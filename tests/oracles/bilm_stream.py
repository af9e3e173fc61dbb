# SPDX-License-Identifier: Apache-2.0
"""The batches that ELMo's language model is trained on, in words.

An oracle of bilm-tf's batch stream for sentences in a given order: B rows take
sentences from one iterator, each row the next free sentence when its own runs out, and
every step fills a row to exactly T words before it looks at the next row. Sentences go
on across steps, and so does the LSTM's state.

Unlike bilm-tf, which drops a step as soon as one row cannot be filled, the steps after
the sentences have run out are given too, with None at the missing places: each word of
each sentence is predicted exactly once per direction. `is_complete` tells bilm-tf's
steps from these.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

import numpy as np

BOS, EOS = "<S>", "</S>"


class ReaderStep(NamedTuple):
    """One step of one reader: words [B, T] of dtype object, None where missing."""

    inputs: np.ndarray
    targets: np.ndarray


class Step(NamedTuple):
    """One training step: both readers' words."""

    forward: ReaderStep
    backward: ReaderStep


def reader_pairs(words: Sequence[str], reverse: bool) -> list[tuple[str, str]]:
    """The (input, target) pairs of one sentence in reading order: n + 1 of n words."""
    read = [EOS, *reversed(words), BOS] if reverse else [BOS, *words, EOS]
    return list(pairwise(read))


def empty_step(B: int, T: int) -> ReaderStep:
    """A step without words."""
    return ReaderStep(np.full((B, T), None, object), np.full((B, T), None, object))


def reader_stream(
    sentences: Iterable[Sequence[str]], B: int, T: int, reverse: bool = False
) -> Iterator[ReaderStep]:
    """The steps of one reader.

    Args:
      sentences: Words without boundaries, in the order in which they are taken.
      B: Rows.
      T: Words of a row per step.
      reverse: The reverse reader, which reads each sentence from its end.
    """
    remaining = iter(sentences)
    rows: list[list[tuple[str, str]]] = [[] for _ in range(B)]
    while True:
        step = empty_step(B, T)
        n_words = 0
        for i in range(B):
            for t in range(T):
                if not rows[i]:
                    sentence = next(remaining, None)
                    if sentence is None:
                        break
                    rows[i] = reader_pairs(sentence, reverse)
                step.inputs[i, t], step.targets[i, t] = rows[i].pop(0)
                n_words += 1
        if n_words == 0:
            return
        yield step


def training_stream(
    forward_sentences: Iterable[Sequence[str]],
    backward_sentences: Iterable[Sequence[str]],
    B: int,
    T: int,
) -> Iterator[Step]:
    """The steps of both readers, which have their own order of the sentences.

    A reader that ends before the other gives steps without words.
    """
    for forward, backward in zip_longest(
        reader_stream(forward_sentences, B, T),
        reader_stream(backward_sentences, B, T, reverse=True),
    ):
        yield Step(forward or empty_step(B, T), backward or empty_step(B, T))


def weight_mask(step: ReaderStep) -> np.ndarray:
    """1.0 where there is a word to predict, else 0.0: [B, T]."""
    return np.array([[float(word is not None) for word in row] for row in step.targets])


def is_complete(step: ReaderStep) -> bool:
    """Whether bilm-tf gives this step as well."""
    return bool(np.all(weight_mask(step) == 1.0))
