# SPDX-License-Identifier: Apache-2.0
"""Tiny models, and sentences that fill few shapes: compiling is what tests wait for.

A row of 64 takes the sentences in two batches, a row of 32 in one, to the last place.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import elmo_jax
from elmo_jax import (
    CharCnnConfig,
    ElmoConfig,
    ElmoParams,
    ElmoTokenizer,
    Vocabulary,
)

WORDS = ["the", "bank", "of", "<UNK>", "river", "Zürich", "ran", "unhappily", "we", "."]
LENGTHS = (30, 25, 20, 14, 12, 9, 7, 5, 2, 1)

# Every ten words in a row are all ten, so that batches have as many types.
POOL = [
    *([WORDS[(3 * i + n) % 10] for i in range(n)] for n in LENGTHS),
    ["<S>", "<UNK>", "</S>"],
    [],
]

# Three of the ten words are unknown.
VOCABULARY = Vocabulary(
    ("<S>", "</S>", "<UNK>", ".", "the", "of", "we", "never", "ran", "bank", "x")
)

CONFIG = ElmoConfig(
    char_cnn=CharCnnConfig(
        embedding_dim=4, filters=((1, 4), (2, 8), (3, 8)), num_highways=1
    ),
    cell_dim=16,
    projection_dim=8,
)
ONE_BLOCK = dataclasses.replace(CONFIG, num_blocks=1)
FORWARD_TABLE = dataclasses.replace(
    ONE_BLOCK, char_cnn=None, vocab_size=len(VOCABULARY), bidirectional=False
)


def make_params(config: ElmoConfig, num_words: int | None = None) -> ElmoParams:
    """Draw weights that give vectors of the size that published models give.

    Not by `init_params`, which takes many seconds to compile, and whose biases are 0.
    """
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(
        lambda key: elmo_jax.init_params(key, config, num_words), jax.random.key(0)
    )

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if "bias" in name:
            deviation = 0.1
        elif "softmax" in name or "embedding" in name:
            deviation = leaf.shape[-1] ** -0.5
        else:
            glorot = np.sqrt(2 / (np.prod(leaf.shape[:-1]) + leaf.shape[-1]))
            deviation = 1.25 * glorot
        return jnp.asarray(rng.normal(0, deviation, leaf.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def make_tokenizer(config: ElmoConfig) -> ElmoTokenizer:
    return ElmoTokenizer(config, VOCABULARY)
