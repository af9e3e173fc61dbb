# SPDX-License-Identifier: Apache-2.0
"""A softmax over the target and a few drawn words, in place of the whole vocabulary.

Jean et al. 2015, as TensorFlow's `sampled_softmax_loss` does it: distinct log-uniform
draws, the logarithms of their expected counts subtracted, a draw that happens to be the
target left out. Its mean is no cross-entropy of the vocabulary: never a perplexity.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embed_jax.devices.precision import precision


def log_expected_counts(
    ids: Int[Array, "*shape"], num_tries: Float[Array, ""], vocab_size: int
) -> Float[Array, "*shape"]:
    """Return the logarithm of how often words are among distinct log-uniform draws.

    Args:
      ids: words of a vocabulary sorted by falling frequency.
      num_tries: draws, repeated ones included.
      vocab_size: V.

    Example:
      >>> float(jnp.exp(log_expected_counts(jnp.array(0), jnp.array(1.0), 1)))
      1.0
    """
    ranks = ids.astype(jnp.float32)
    share = jnp.log1p(1 / (ranks + 1)) / jnp.log(jnp.float32(vocab_size + 1))
    return jnp.log(-jnp.expm1(num_tries * jnp.log1p(-share)))


def sampled_softmax_losses(
    weights: Float[Array, "V P"],
    bias: Float[Array, " V"],
    contexts: Float[Array, "B T P"],
    targets: Int[Array, "B T"],
    negatives: Int[Array, " K"],
    num_tries: Float[Array, ""],
    vocab_size: int | None = None,
    rows: Int[Array, " V"] | None = None,
) -> Float[Array, "B T"]:
    """Compute the loss of each target among the negatives.

    Args:
      weights: one row a word, float32.
      bias: one number a word, float32.
      contexts: what predicts; its type is that of the products.
      targets: the words that follow.
      negatives: distinct words, drawn log-uniformly.
      num_tries: draws that it took to find them.
      vocab_size: words of the vocabulary; by default as many as there are rows.
      rows: the words that the rows are of, ascending, all targets and negatives among
        them; by default the whole vocabulary.

    Returns:
      Nats, float32; comparable only under the same number of negatives.
    """
    num_words = vocab_size or len(bias)
    dtype = contexts.dtype

    def row_of(ids: Array) -> Array:
        return ids if rows is None else jnp.searchsorted(rows, ids)

    def corrections(ids: Array) -> Array:
        return bias[row_of(ids)] - log_expected_counts(ids, num_tries, num_words)

    true_rows = weights[row_of(targets)].astype(dtype)
    true = jnp.sum((true_rows * contexts).astype(jnp.float32), axis=-1)
    true = true + corrections(targets)
    scores = jnp.einsum(
        "BTP,KP->BTK",
        contexts,
        weights[row_of(negatives)].astype(dtype),
        precision=precision(dtype),
        preferred_element_type=jnp.float32,
    )
    scores = scores + corrections(negatives)[None, None]
    is_hit = negatives[None, None] == targets[..., None]
    scores = jnp.where(is_hit, -jnp.inf, scores)
    highest = jnp.maximum(true, scores.max(axis=-1))
    highest = jax.lax.stop_gradient(highest)
    total = jnp.exp(true - highest) + jnp.exp(scores - highest[..., None]).sum(axis=-1)
    return highest + jnp.log(total) - true
