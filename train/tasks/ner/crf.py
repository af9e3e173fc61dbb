# SPDX-License-Identifier: Apache-2.0
"""A linear-chain conditional random field over the tags of a sentence.

Lafferty, McCallum and Pereira 2001. A path's score is the sum of its emissions, of the
transitions between neighbours, and of a start and an end score; its probability is the
softmax over all paths.
"""

from typing import no_type_check

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


@no_type_check  # jax also builds such trees of shapes, shardings and stacked weights.
class Transitions(flax.struct.PyTreeNode):
    """The weights of a CRF.

    Attributes:
      between: [i, j] is the score of tag j after tag i.
      start: score of each tag at the first word.
      end: score of each tag at the last word.
    """

    between: Float[Array, "Y Y"]
    start: Float[Array, " Y"]
    end: Float[Array, " Y"]


def log_partition(
    emissions: Float[Array, "B T Y"],
    transitions: Transitions,
    mask: Bool[Array, "B T"],
) -> Float[Array, " B"]:
    """Return the log of the sum of exp(score) over all paths.

    Args:
      emissions: a score for each tag of each word.
      transitions: the weights.
      mask: True at the words of a row, which are its beginning; a row without any has
        the partition of a single word without emissions.
    """

    def step(
        total: Float[Array, "B Y"], now: tuple[Array, Array]
    ) -> tuple[Float[Array, "B Y"], None]:
        emission, is_word = now
        after = jax.nn.logsumexp(total[:, :, None] + transitions.between[None], axis=1)
        return jnp.where(is_word[:, None], after + emission, total), None

    total, _ = jax.lax.scan(step, *_time_first(emissions, transitions, mask))
    return jax.nn.logsumexp(total + transitions.end[None], axis=-1)


def log_likelihood(
    emissions: Float[Array, "B T Y"],
    transitions: Transitions,
    tags: Int[Array, "B T"],
    mask: Bool[Array, "B T"],
) -> Float[Array, " B"]:
    """Return the log-probability of each row's tags; 0 for a row without words.

    Args:
      emissions: a score for each tag of each word.
      transitions: the weights.
      tags: the path; any value at padding.
      mask: True at the words of a row, which are its beginning.
    """
    score = path_score(emissions, transitions, tags, mask)
    partition = log_partition(emissions, transitions, mask)
    return jnp.where(mask[:, 0], score - partition, 0.0)


def path_score(
    emissions: Float[Array, "B T Y"],
    transitions: Transitions,
    tags: Int[Array, "B T"],
    mask: Bool[Array, "B T"],
) -> Float[Array, " B"]:
    """Return the unnormalised score of each row's tags; see `log_likelihood`."""
    at_words = jnp.take_along_axis(emissions, tags[..., None], axis=-1)[..., 0]
    between = transitions.between[tags[:, :-1], tags[:, 1:]]
    last = jnp.maximum(mask.sum(axis=1) - 1, 0)
    last_tags = jnp.take_along_axis(tags, last[:, None], axis=1)[:, 0]
    return (
        jnp.where(mask, at_words, 0).sum(axis=1)
        + jnp.where(mask[:, 1:], between, 0).sum(axis=1)
        + transitions.start[tags[:, 0]]
        + transitions.end[last_tags]
    )


def viterbi(
    emissions: Float[Array, "B T Y"],
    transitions: Transitions,
    mask: Bool[Array, "B T"],
) -> Int[Array, "B T"]:
    """Find the best path of each row; padding repeats the last word's tag.

    Args:
      emissions: a score for each tag of each word.
      transitions: the weights.
      mask: True at the words of a row, which are its beginning.
    """
    num_tags = emissions.shape[-1]
    stay = jnp.arange(num_tags)[None]

    def forward(
        best: Float[Array, "B Y"], now: tuple[Array, Array]
    ) -> tuple[Float[Array, "B Y"], Int[Array, "B Y"]]:
        emission, is_word = now
        scores = best[:, :, None] + transitions.between[None]
        after = jnp.where(is_word[:, None], scores.max(axis=1) + emission, best)
        return after, jnp.where(is_word[:, None], scores.argmax(axis=1), stay)

    best, origins = jax.lax.scan(forward, *_time_first(emissions, transitions, mask))
    last = (best + transitions.end[None]).argmax(axis=-1)

    def backward(
        tag: Int[Array, " B"], origin: Int[Array, "B Y"]
    ) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
        return jnp.take_along_axis(origin, tag[:, None], axis=1)[:, 0], tag

    first, others = jax.lax.scan(backward, last, origins, reverse=True)
    return jnp.concatenate([first[:, None], others.T], axis=1)


def _time_first(
    emissions: Array, transitions: Transitions, mask: Array
) -> tuple[Array, tuple[Array, Array]]:
    """Return the scores at the first word, and the time-major inputs of the scan."""
    first = jnp.where(mask[:, :1], emissions[:, 0], 0) + transitions.start[None]
    return first, (emissions[:, 1:].swapaxes(0, 1), mask[:, 1:].T)
