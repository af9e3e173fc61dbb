# SPDX-License-Identifier: Apache-2.0
"""Probabilities over a vocabulary, a block of it at a time."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from elmo_jax.char_cnn import precision

# Words of the vocabulary at a time. With 8,192 contexts their scores take 256 MB.
BLOCK = 8192


def log_normaliser(
    weights: Float[Array, "V P"],
    bias: Float[Array, " V"],
    contexts: Float[Array, "N P"],
    block: int = BLOCK,
) -> Float[Array, " N"]:
    """Compute the logarithm of the softmax's sum, without an array `[N V]`.

    A running maximum keeps the sum in range, so no score is too large.

    Args:
      weights: one row a word, float32.
      bias: one number a word, float32.
      contexts: what predicts, float32.
      block: words at a time.

    Returns:
      log Σ exp(weights · context + bias), in nats, float32; differentiable.

    Example:
      >>> zeros = jnp.zeros((5, 2)), jnp.zeros(5)
      >>> round(float(jnp.exp(log_normaliser(*zeros, jnp.ones((1, 2)), block=2))[0]), 5)
      5.0
    """
    num_words = len(weights)
    block = min(block, num_words)

    @jax.checkpoint
    def add_block(
        running: tuple[Array, Array], number: Array
    ) -> tuple[tuple[Array, Array], None]:
        highest, total = running
        # The last block begins early enough to be whole, and leaves out what the one
        # before it had: padding the weights would copy all of them.
        first = jnp.minimum(number * block, num_words - block)
        rows = jax.lax.dynamic_slice_in_dim(weights, first, block)
        scores = _scores(rows, contexts)
        scores = scores + jax.lax.dynamic_slice_in_dim(bias, first, block)[:, None]
        fresh = first + jnp.arange(block) >= number * block
        scores = jnp.where(fresh[:, None], scores, -jnp.inf)
        new_highest = jnp.maximum(highest, jax.lax.stop_gradient(scores.max(axis=0)))
        total = total * jnp.exp(highest - new_highest)
        total = total + jnp.sum(jnp.exp(scores - new_highest[None]), axis=0)
        return (new_highest, total), None

    nothing = jnp.full(len(contexts), -jnp.inf), jnp.zeros(len(contexts))
    numbers = jnp.arange(-(-num_words // block))
    (highest, total), _ = jax.lax.scan(add_block, nothing, numbers)
    return highest + jnp.log(total)


def scores_of(
    weights: Float[Array, "V P"],
    bias: Float[Array, " V"],
    contexts: Float[Array, "N P"],
    ids: Int[Array, " N"],
) -> Float[Array, " N"]:
    """Compute the unnormalised score of one word for each context."""
    return jnp.sum(weights[ids] * contexts, axis=-1) + bias[ids]


def _scores(
    rows: Float[Array, "block P"], contexts: Float[Array, "N P"]
) -> Float[Array, "block N"]:
    return jnp.dot(rows, contexts.T, precision=precision(contexts.dtype))
