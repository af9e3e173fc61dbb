# SPDX-License-Identifier: Apache-2.0
"""Conversion of a character model to a word model, with a table of precomputed layer 0.

bilm-tf calls the table "token embeddings". It saves the character CNN, but words
outside the vocabulary are read as `<UNK>`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from elmo_jax.bilm import word_vectors
from elmo_jax.characters import character_rows, sufficient_length
from elmo_jax.params import ElmoParams
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.vocabulary import Vocabulary
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.devices.mesh import replicate_beside


def word_table(
    params: ElmoParams,
    tokenizer: ElmoTokenizer,
    vocabulary: Vocabulary,
    *,
    batch_size: int = 256,
) -> tuple[ElmoParams, ElmoTokenizer]:
    """Replace the character CNN by a table of its outputs for the words.

    Args:
      params: a model that reads characters.
      tokenizer: its tokeniser; the new one splits text as it does.
      vocabulary: the words of the table.
      batch_size: words at a time in the CNN.

    Returns:
      The model with the table and the same LSTMs (not copied), and its tokeniser. The
      softmax is kept if it has the same vocabulary.

    Raises:
      ValueError: the model already has a table.

    Example:
      >>> import elmo_jax, jax
      >>> params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
      >>> words = elmo_jax.Vocabulary(("<S>", "</S>", "<UNK>", "bank", "river"))
      >>> tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY)
      >>> faster, _ = word_table(params, tokenizer, words)
      >>> faster.encoder["words"]["embedding"].shape
      (5, 16)
    """
    config = params.config
    if config.char_cnn is None:
        raise ValueError("the model looks its words up in a table already")
    table = np.empty((len(vocabulary), config.projection_dim), np.float32)
    max_characters = config.char_cnn.max_characters
    # One length for all, so that there is one shape to compile.
    length = sufficient_length(
        vocabulary.words, max_characters, config.char_cnn.max_width
    )
    for start in range(0, len(vocabulary), batch_size):
        words = vocabulary.words[start : start + batch_size]
        characters = character_rows(words, max_characters, length)
        filled = np.pad(characters, ((0, batch_size - len(words)), (0, 0)))
        vectors = _compute(params, filled)
        table[start : start + len(words)] = vectors[: len(words)]
    encoder = {
        name: weights for name, weights in params.encoder.items() if name != "char_cnn"
    }
    encoder["words"] = {"embedding": replicate_beside(jnp.asarray(table), params)}
    is_predicted = (
        tokenizer.vocabulary is not None
        and tokenizer.vocabulary.words == vocabulary.words
    )
    config = dataclasses.replace(config, char_cnn=None, vocab_size=len(vocabulary))
    params = params.replace(
        encoder=encoder, heads=params.heads if is_predicted else {}, config=config
    )
    return params, ElmoTokenizer(config, vocabulary, tokenizer.split)


@jax.jit
@on_any_mesh("U P")
def _compute(params: ElmoParams, characters: Int[Array, "U C"]) -> Float[Array, "U P"]:
    dtype = jnp.dtype(jnp.float32)
    return word_vectors(params.config, params.encoder, characters, dtype)
