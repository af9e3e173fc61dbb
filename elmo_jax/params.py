# SPDX-License-Identifier: Apache-2.0
"""A biLM's weights and configuration as one pytree."""

from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array

from elmo_jax.bilm import BiLm, Carry
from elmo_jax.char_cnn import scaled_normal
from elmo_jax.config import ElmoConfig
from elmo_jax.tokens import ElmoTokens
from embed_jax.devices.random_keys import same_draws
from embed_jax.equality import equal_by_value
from embed_jax.tree import summarise_model


@equal_by_value
class ElmoParams(flax.struct.PyTreeNode):
    """The weights of a biLM, a pytree of arrays, with the configuration as static data.

    jit, grad, vmap, sharding, optax and Orbax see a plain tree of arrays.

    Attributes:
      encoder: `{"char_cnn" or "words": …, "forward_0": …, "backward_0": …}`, float32.
      heads: `{"softmax": {"weights": [V P], "bias": [V]}}`, or empty. Both directions
        share the softmax. It has no weights of its own where they are the word table.
      start: the states before a sentence's first boundary where they are not zero
        (`elmo_jax.warm_start`), of a batch of one.
      config: the frozen configuration.
    """

    encoder: dict
    heads: dict
    config: ElmoConfig = flax.struct.field(pytree_node=False)
    start: Carry | None = None

    @property
    def softmax(self) -> tuple[Array, Array]:
        """Weights `[V P]` and bias `[V]` of the softmax, wherever the weights are."""
        softmax = self.heads["softmax"]
        if self.has_tied_softmax:
            return self.encoder["words"]["embedding"], softmax["bias"]
        return softmax["weights"], softmax["bias"]

    @property
    def has_tied_softmax(self) -> bool:
        """Whether there is a softmax whose weights are the word table."""
        is_tied = "softmax" in self.heads and "weights" not in self.heads["softmax"]
        return is_tied and self.config.char_cnn is None

    def __repr__(self) -> str:
        """Return one line without weights: `config` and the leaves have the rest."""
        return summarise_model(self)


@same_draws()
def init_params(
    key: jax.Array,
    config: ElmoConfig,
    num_words: int | None = None,
    *,
    tied: bool = False,
) -> ElmoParams:
    """Initialise weights as in bilm-tf.

    Args:
      key: a `jax.random.key`.
      config: of the model.
      num_words: vocabulary size of the softmax; None for no softmax.
      tied: whether the softmax's weights are the word table, as with bilm-tf's option
        `share_embedding_softmax`.

    Returns:
      Float32 parameters.

    Raises:
      ValueError: `tied` without a word table of as many words.

    Example:
      >>> import elmo_jax
      >>> params = init_params(jax.random.key(0), elmo_jax.TINY)
      >>> sum(leaf.size for leaf in jax.tree.leaves(params))
      22376
    """
    encoder_key, softmax_key = jax.random.split(key)
    heads = {}
    if tied and config.vocab_size != num_words:
        raise ValueError(
            f"a tied softmax has the rows of the word table, and of {num_words} words "
            f"the model reads {config.vocab_size} by their ids"
        )
    if num_words and tied:
        heads["softmax"] = {"bias": jnp.zeros(num_words, jnp.float32)}
    elif num_words:
        shape = num_words, config.projection_dim
        draw = scaled_normal(config.projection_dim)
        heads["softmax"] = {
            "weights": draw(softmax_key, shape, jnp.float32),
            "bias": jnp.zeros(num_words, jnp.float32),
        }
    encoder = _init_encoder(encoder_key, config)
    return ElmoParams(encoder=encoder, heads=heads, config=config)


@partial(jax.jit, static_argnums=1)
def _init_encoder(key: jax.Array, config: ElmoConfig) -> dict:
    """Initialise the encoder; under jit the forward pass is not computed."""
    types = jnp.zeros((2,), jnp.int32)
    if config.char_cnn:
        types = jnp.zeros((2, config.char_cnn.max_characters), jnp.int32)
    words = jnp.zeros((1, 1), jnp.int32)
    tokens = ElmoTokens(types, words, words == 0, words == 0, words == 0)
    return dict(BiLm(config).init(key, tokens)["params"])
