# SPDX-License-Identifier: Apache-2.0
"""The shapes of a biLM's training step and of its embedding, for `train.plan`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

import elmo_jax
from elmo_jax.embed import compute_vectors
from embed_jax.layers.layer_spec import LayerSpec
from train.families.elmo.batches import BilmBatch, BilmRows, round_up
from train.families.elmo.config import BilmPretraining
from train.families.elmo.negatives import Negatives
from train.families.elmo.setup import bilm_objective
from train.families.family import Embedding, StepShapes


def step_shapes(
    experiment: BilmPretraining, dtype: jnp.dtype, mesh: Mesh
) -> StepShapes:
    """Return the shapes of a training step, with the types of `distinct_words`."""
    B, T = experiment.batch_size, experiment.unroll_steps
    num_words = experiment.data.vocab_size
    objective = bilm_objective(experiment, dtype, num_words, mesh=mesh)
    positions = jax.ShapeDtypeStruct((B, 2, T), jnp.int32)
    rows = BilmRows(
        words=positions,
        targets=positions,
        weights=jax.ShapeDtypeStruct((B, 2, T), jnp.float32),
        fresh=jax.ShapeDtypeStruct((B,), jnp.bool_),
    )
    negatives = None
    if experiment.num_negatives:
        negatives = Negatives(
            ids=jax.ShapeDtypeStruct((2, experiment.num_negatives), jnp.int32),
            num_tries=jax.ShapeDtypeStruct((2,), jnp.float32),
        )
    batch = BilmBatch(rows, _types_of(experiment), negatives)
    init = partial(
        elmo_jax.init_params,
        config=objective.config,
        num_words=num_words,
        tied=objective.tied,
    )
    return StepShapes(objective, init, batch, T)


def embedding(
    experiment: BilmPretraining,
    spec: LayerSpec,
    dtype: jnp.dtype,
    rows: NamedSharding,
    whole: NamedSharding,
) -> Embedding:
    """Return the embedding function and its input shapes; types are replicated."""
    B, T = experiment.batch_size, experiment.unroll_steps
    types = _types_of(experiment, whole)
    config = experiment.model_for(experiment.data.vocab_size)
    ids = jax.ShapeDtypeStruct((B, T), jnp.int32, sharding=rows)
    flags = jax.ShapeDtypeStruct((B, T), jnp.bool_, sharding=rows)

    def embed(params: Any, tokens: Any) -> Any:
        return compute_vectors(params, tokens, (spec,), (None,), dtype)[0][0]

    def init(key: jax.Array) -> elmo_jax.ElmoParams:
        return elmo_jax.init_params(key, config)

    tokens = elmo_jax.ElmoTokens(types, ids, flags, flags, flags)
    return Embedding(embed, init, tokens, config.num_blocks)


def _types_of(
    experiment: BilmPretraining, place: NamedSharding | None = None
) -> jax.ShapeDtypeStruct:
    """Return the shape of a batch's types: characters, or rows of a word table."""
    config, positions = (
        experiment.model_for(experiment.data.vocab_size),
        experiment.batch_size * 2 * experiment.unroll_steps,
    )
    shape: tuple[int, ...] = (round_up(2 + distinct_words(positions)),)
    if config.char_cnn:
        shape = (*shape, config.char_cnn.max_characters)
    return jax.ShapeDtypeStruct(shape, jnp.int32, sharding=place)


def distinct_words(num_words: int) -> int:
    """Estimate the number of distinct words among `num_words` words of a text.

    Heaps' law, fitted to spans of 20 words of English novels: 2,149 of 5,120, 10,479 of
    40,960.

    Example:
      >>> distinct_words(5120), distinct_words(40960)
      (2369, 10158)
    """
    return min(num_words, round(6 * num_words**0.7))
