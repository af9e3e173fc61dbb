# SPDX-License-Identifier: Apache-2.0
"""Cross entropy that saves only the logits for the backward pass.

Differentiated by jax, exponentials as large as the logits would be saved too.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Choice(NamedTuple):
    """The loss and the accuracy of classifications.

    Attributes:
      losses: -log of the target's probability, in nats.
      hits: whether no other class has a higher score than the target.
    """

    losses: Float[Array, "B M"]
    hits: Bool[Array, "B M"]


@jax.custom_vjp
def cross_entropy(logits: Float[Array, "B M Y"], targets: Int[Array, "B M"]) -> Choice:
    """Compute the cross entropy of logits and targets.

    Args:
      logits: unnormalised log-probabilities, float32.
      targets: the correct class, one of Y.

    Returns:
      Losses and hits `[B M]`; only the losses have a gradient.
    """
    return _forward(logits, targets)[0]


def _forward(logits: Array, targets: Array) -> tuple[Choice, tuple]:
    highest = logits.max(axis=-1)
    shifted = logits - highest[..., None]
    # A sum over one term: read with the other sum, where a lookup would go once more
    # through all scores.
    chosen = jnp.sum(jnp.where(_is_target(logits, targets), shifted, 0.0), axis=-1)
    log_sum = jnp.log(jnp.exp(shifted).sum(axis=-1))
    choice = Choice(log_sum - chosen, chosen >= 0)
    return choice, (logits, targets, highest + log_sum)


def _backward(kept: tuple, change: Choice) -> tuple[Array, np.ndarray]:
    logits, targets, normaliser = kept
    probability = jnp.exp(logits - normaliser[..., None])
    right = _is_target(logits, targets).astype(logits.dtype)
    of_logits = (probability - right) * change.losses[..., None]
    return of_logits, np.zeros(targets.shape, jax.dtypes.float0)


cross_entropy.defvjp(_forward, _backward)


def _is_target(logits: Array, targets: Array) -> Bool[Array, "B M Y"]:
    numbers = jax.lax.broadcasted_iota(targets.dtype, logits.shape, logits.ndim - 1)
    return numbers == targets[..., None]
