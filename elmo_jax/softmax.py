# SPDX-License-Identifier: Apache-2.0
"""Softmax over a large vocabulary, computed in blocks."""

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embed_jax.devices.any_mesh import varying_alike
from embed_jax.devices.precision import precision

# Words of the vocabulary at a time. With 8,192 contexts their scores take 256 MB.
BLOCK = 8192


def log_normaliser(
    weights: Float[Array, "V P"],
    bias: Float[Array, " V"],
    contexts: Float[Array, "N P"],
    block: int = BLOCK,
) -> Float[Array, " N"]:
    """Compute the log-normaliser (logsumexp) of the softmax, without an array `[N V]`.

    A running maximum avoids overflow.

    Args:
      weights: one row a word, float32.
      bias: one number a word, float32.
      contexts: the vectors that predict, float32.
      block: words at a time.

    Returns:
      log Σ exp(weights · context + bias), in nats, float32; differentiable.

    Example:
      >>> zeros = jnp.zeros((5, 2)), jnp.zeros(5)
      >>> round(float(jnp.exp(log_normaliser(*zeros, jnp.ones((1, 2)), block=2))[0]), 5)
      5.0
    """
    arrays = jnp.asarray(weights), jnp.asarray(bias), jnp.asarray(contexts)
    return _log_normaliser(*varying_alike(arrays), min(block, len(weights)))


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _log_normaliser(weights: Array, bias: Array, contexts: Array, block: int) -> Array:
    def add_block(number: Array, running: tuple[Array, Array]) -> tuple[Array, Array]:
        highest, total = running
        _, scores = _block_scores(weights, bias, contexts, block, number)
        new_highest = jnp.maximum(highest, scores.max(axis=0))
        total = total * jnp.exp(highest - new_highest)
        total = total + jnp.sum(jnp.exp(scores - new_highest[None]), axis=0)
        return new_highest, total

    zeros = jnp.zeros_like(contexts[:, 0])
    nothing = jnp.full_like(zeros, -jnp.inf), zeros
    highest, total = jax.lax.fori_loop(0, -(-len(weights) // block), add_block, nothing)
    return highest + jnp.log(total)


def _normaliser_forward(
    weights: Array, bias: Array, contexts: Array, block: int
) -> tuple[Array, tuple[Array, ...]]:
    normaliser = cast(Array, _log_normaliser(weights, bias, contexts, block))
    return normaliser, (weights, bias, contexts, normaliser)


def _normaliser_backward(
    block: int, saved: tuple[Array, ...], slope: Float[Array, " N"]
) -> tuple[Array, Array, Array]:
    """Recompute the scores, and write each block's rows of the gradient in place.

    Automatic differentiation of the loop would add an array `[V P]` for each block.
    """
    weights, bias, contexts, normaliser = saved

    def add_block(number: Array, slopes: tuple[Array, ...]) -> tuple[Array, ...]:
        of_weights, of_bias, of_contexts = slopes
        first, scores = _block_scores(weights, bias, contexts, block, number)
        shares = jnp.exp(scores - normaliser[None]) * slope[None]
        rows = jax.lax.dynamic_slice_in_dim(weights, first, block)
        of_contexts = of_contexts + _dot(shares.T, rows)
        return (
            _add_at(of_weights, first, _dot(shares, contexts)),
            _add_at(of_bias, first, shares.sum(axis=1)),
            of_contexts,
        )

    zeros = tuple(jnp.zeros_like(array) for array in (weights, bias, contexts))
    return jax.lax.fori_loop(0, -(-len(weights) // block), add_block, zeros)


_log_normaliser.defvjp(_normaliser_forward, _normaliser_backward)


def _block_scores(
    weights: Array, bias: Array, contexts: Array, block: int, number: Array
) -> tuple[Array, Float[Array, "block N"]]:
    """Return a block's start and scores; -inf at rows that the previous block has."""
    # The last block begins early enough to be whole, and leaves out what the one
    # before it had: padding the weights would copy all of them.
    first = jnp.minimum(number * block, len(weights) - block)
    rows = jax.lax.dynamic_slice_in_dim(weights, first, block)
    scores = _dot(rows, contexts.T)
    scores = scores + jax.lax.dynamic_slice_in_dim(bias, first, block)[:, None]
    fresh = first + jnp.arange(block) >= number * block
    return first, jnp.where(fresh[:, None], scores, -jnp.inf)


def _add_at(array: Array, first: Array, update: Array) -> Array:
    held = jax.lax.dynamic_slice_in_dim(array, first, len(update))
    return jax.lax.dynamic_update_slice_in_dim(array, held + update, first, 0)


def scores_of(
    weights: Float[Array, "V P"],
    bias: Float[Array, " V"],
    contexts: Float[Array, "N P"],
    ids: Int[Array, " N"],
) -> Float[Array, " N"]:
    """Compute the unnormalised score of one word for each context."""
    return jnp.sum(weights[ids] * contexts, axis=-1) + bias[ids]


def _dot(left: Float[Array, "A K"], right: Float[Array, "K C"]) -> Array:
    return jnp.dot(left, right, precision=precision(left.dtype))
