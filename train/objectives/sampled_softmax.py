# SPDX-License-Identifier: Apache-2.0
"""Sampled softmax: over the target and a few sampled words, not the whole vocabulary.

Jean et al. 2015, as TensorFlow's `sampled_softmax_loss`: distinct log-uniform samples,
from whose scores the logarithms of their expected counts are subtracted; samples that
are the target are left out. Where no draw was rejected (only some tens of samples) the
expected count of a word is still the chance that it is among them, 1 - (1 - p)^K;
TensorFlow takes K·p there, which is a little more. The mean loss is not the cross
entropy over the vocabulary, and its exponential is not a perplexity.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embed_jax.devices.precision import precision


def log_expected_counts(
    ids: Int[Array, "*shape"], num_tries: Float[Array, ""], vocab_size: int
) -> Float[Array, "*shape"]:
    """Return the log of the expected counts of words in distinct log-uniform samples.

    That is the chance that a word is drawn at all in so many tries, 1 - (1 - p)^tries,
    also where each try gave another word.

    Args:
      ids: words of a vocabulary sorted by descending frequency.
      num_tries: number of draws, repeated words included.
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
      contexts: the vectors that predict; their dtype is that of the products.
      targets: the words to predict.
      negatives: distinct words, drawn log-uniformly.
      num_tries: number of draws that it took to find them.
      vocab_size: words of the vocabulary; by default the number of rows.
      rows: the words of the rows of `weights`, ascending, with all targets and
        negatives; by default the whole vocabulary.

    Returns:
      Losses in nats, float32; comparable only for the same number of negatives.
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
