# SPDX-License-Identifier: Apache-2.0
"""Rows with labels, and batches of rows of similar length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from embed_jax.corpus.unknown import OfUnknown, judge_unknown

IGNORED = -1
"""The label of positions that are not predicted: padding, specials, later pieces."""

# Batches whose rows are sorted by length together. More of them pad less, and leave
# less to chance.
_POOLED = 16

# Between two lengths of rows, up to a length; beyond, the last one.
_STEPS = ((8, 32), (16, 128))
_LAST_STEP = 64


@dataclass(frozen=True, slots=True)
class ClassifiedRow:
    """One row, the input of an encoder, with its labels.

    Attributes:
      content: the input of the classifier's `collate`.
      length: in tokens.
      labels: of each token, or of the whole row; `IGNORED` where there is none.
      example: index of its sentence or text.
      words: for each token the word of the sentence whose label it predicts, or -1;
        empty if the row has one label.
      num_words: words that were looked up in the vocabulary.
      num_unknown: of these, what it lacks.
    """

    content: Any
    length: int
    labels: Int[np.ndarray, "*T"]
    example: int
    words: Int[np.ndarray, " _"]
    num_words: int = 0
    num_unknown: int = 0


def judge_rows(rows: Sequence[ClassifiedRow], of: str, no_known: OfUnknown) -> None:
    """Warn of many unknown words, or refuse rows without a known one.

    Args:
      rows: of one set of examples; windows that overlap count their words twice.
      of: what they are rows of, for the message.
      no_known: see `embed_jax.corpus.unknown.judge_unknown`.

    Raises:
      ValueError: no word is known, and `no_known` is "error".
    """
    num_unknown = sum(row.num_unknown for row in rows)
    num_words = sum(row.num_words for row in rows)
    judge_unknown(num_unknown, num_words, of=of, no_known=no_known)


class EpochBatches:
    """The rows of each step, which depend on the seed and the step only.

    Every epoch reads each row once, in a new random order. Rows of similar length share
    a batch; the order of the batches is random too.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Take the lengths of the rows, of which there must be at least one."""
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._batches: list[Int[np.ndarray, " _"]] = []

    @property
    def steps_an_epoch(self) -> int:
        """Number of batches of an epoch, one of which may be smaller."""
        return -(-len(self._lengths) // self._batch_size)

    def __getitem__(self, step: int) -> Int[np.ndarray, " _"]:
        """Return the rows of a step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_an_epoch)
        if epoch != self._epoch:
            self._batches = self._plan(epoch)
            self._epoch = epoch
        return self._batches[place]

    def _plan(self, epoch: int) -> list[Int[np.ndarray, " _"]]:
        random = np.random.default_rng((self._seed, epoch))
        order = random.permutation(len(self._lengths))
        batches = []
        pooled = self._batch_size * _POOLED
        for start in range(0, len(order), pooled):
            pool = order[start : start + pooled]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            cuts = range(self._batch_size, len(pool), self._batch_size)
            batches.extend(np.split(pool, cuts))
        return [batches[index] for index in random.permutation(len(batches))]


def batches_in_order(
    lengths: Sequence[int], batch_size: int
) -> list[Int[np.ndarray, " _"]]:
    """Divide rows into batches by length, the shortest first, without randomness.

    Example:
      >>> [batch.tolist() for batch in batches_in_order([5, 9, 3], 2)]
      [[2, 0], [1]]
    """
    order = np.argsort(lengths, kind="stable")
    return np.split(order, range(batch_size, len(order), batch_size))


def padded_length(length: int, longest: int | None = None) -> int:
    """Return the length to pad rows to, one of few, to limit compilations.

    Multiples of 8 to 32, of 16 to 128, then of 64.

    Args:
      length: of the longest row, in tokens.
      longest: the maximal row length.

    Example:
      >>> [padded_length(n) for n in (1, 8, 9, 33, 129)]
      [8, 8, 16, 48, 192]
    """
    step = next((step for step, end in _STEPS if length <= end), _LAST_STEP)
    padded = -(-length // step) * step
    return padded if longest is None else min(padded, longest)


def stack_labels(
    rows: Sequence[ClassifiedRow], length: int, size: int
) -> Int[np.ndarray, "B ..."]:
    """Stack the labels of rows into one array, padded with `IGNORED`.

    Args:
      rows: of one batch.
      length: tokens a row of the batch.
      size: rows of the batch, at least `len(rows)`.
    """
    shape = (size,) if rows[0].labels.ndim == 0 else (size, length)
    labels = np.full(shape, IGNORED, np.int32)
    for index, row in enumerate(rows):
        if row.labels.ndim:
            labels[index, : row.length] = row.labels
        else:
            labels[index] = row.labels
    return labels
