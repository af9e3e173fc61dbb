# SPDX-License-Identifier: Apache-2.0
"""Negative samples for the sampled softmax."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

NUM_DIRECTIONS = 2


class Negatives(NamedTuple):
    """Distinct words for each direction, drawn log-uniformly.

    Attributes:
      ids: of the vocabulary, int32, distinct within a row.
      num_tries: number of draws that it took, repeated words included, float32.
    """

    ids: Int[Any, "2 K"]
    num_tries: Float[Any, " 2"]


def draw_negatives(
    rng: np.random.Generator, num_negatives: int, vocab_size: int
) -> Negatives:
    """Draw words until enough distinct ones are found, as TensorFlow's sampler does.

    What is made of the number of draws differs where none was rejected, see
    `train.objectives.sampled_softmax`.

    The vocabulary is sorted by descending frequency, and word k is drawn with
    probability (log(k + 2) - log(k + 1)) / log(V + 1), which approximates Zipf's law.

    Args:
      rng: the random generator.
      num_negatives: K, below `vocab_size`.
      vocab_size: V.

    Raises:
      ValueError: `num_negatives` is too large for the vocabulary.

    Example:
      >>> ids, num_tries = draw_negatives(np.random.default_rng(0), 5, 100)
      >>> ids.shape, bool((num_tries >= 5).all())
      ((2, 5), True)
    """
    if not 0 < num_negatives < vocab_size:
        raise ValueError(
            f"{num_negatives} negatives cannot be drawn from {vocab_size} words; ask "
            "for fewer, or for none to score the whole vocabulary"
        )
    ids = np.empty((NUM_DIRECTIONS, num_negatives), np.int32)
    tries = np.empty(NUM_DIRECTIONS, np.float32)
    for direction in range(NUM_DIRECTIONS):
        ids[direction], tries[direction] = _draw(rng, num_negatives, vocab_size)
    return Negatives(ids, tries)


def _draw(
    rng: np.random.Generator, num_negatives: int, vocab_size: int
) -> tuple[Int[np.ndarray, " K"], int]:
    seen = np.zeros(vocab_size, bool)
    where = np.empty(vocab_size, np.int32)
    found: list[Int[np.ndarray, " _"]] = []
    missing, num_tries = num_negatives, 0
    while missing:
        # The inverse of the distribution, at uniform random places.
        draws = np.exp(rng.random(2 * num_negatives) * np.log(vocab_size + 1)) - 1
        draws = np.minimum(draws.astype(np.int32), vocab_size - 1)
        places = np.arange(len(draws), dtype=np.int32)
        # Of a word drawn several times the first place is written last.
        where[draws[::-1]] = places[::-1]
        is_first = (where[draws] == places) & ~seen[draws]
        firsts = np.flatnonzero(is_first)[:missing]
        found.append(draws[firsts])
        seen[draws[firsts]] = True
        missing -= len(firsts)
        num_tries += len(draws) if missing else int(firsts[-1]) + 1
    return np.concatenate(found), num_tries
