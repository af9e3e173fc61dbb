# SPDX-License-Identifier: Apache-2.0
"""The shapes of a BERT's training step and of its embedding, for `train.plan`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

import bert_jax
from bert_jax.embed import compute_vectors
from embed_jax.layers.layer_spec import LayerSpec
from train.families.bert.batches import MaskedLmBatch, MaskedLmRows
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.setup import heads_of, masked_lm_objective, with_vocabulary
from train.families.family import Embedding, StepShapes


def step_shapes(
    experiment: MaskedLmPretraining, dtype: jnp.dtype, mesh: Mesh
) -> StepShapes:
    """Return the shapes of a training step, with the configured vocabulary size."""
    config = with_vocabulary(
        experiment.model, experiment.data.vocab_size, experiment.model.pad_id
    )
    objective = masked_lm_objective(experiment, dtype, config, mesh=mesh)
    data, B = experiment.objective, experiment.batch_size
    T, M, instances = data.length, data.max_predictions, data.num_instances
    ids = jax.ShapeDtypeStruct((B, T), jnp.int32)
    predicted = jax.ShapeDtypeStruct((B, M), jnp.int32)
    heads = jax.ShapeDtypeStruct((B, instances), jnp.int32)
    rows = MaskedLmRows(
        ids=ids,
        segment_ids=ids,
        sequences=ids,
        positions=ids,
        predicted=predicted,
        targets=predicted,
        weights=jax.ShapeDtypeStruct((B, M), jnp.float32),
        heads=heads,
        labels=heads,
        label_weights=jax.ShapeDtypeStruct((B, instances), jnp.float32),
    )
    heads_trained = heads_of(experiment)
    init = partial(bert_jax.init_params, config=config, heads=heads_trained)
    return StepShapes(objective, init, MaskedLmBatch(rows), T)


def embedding(
    experiment: MaskedLmPretraining,
    spec: LayerSpec,
    dtype: jnp.dtype,
    rows: NamedSharding,
) -> Embedding:
    """Return the function that embeds a batch of rows, and its input shapes."""
    shape = experiment.batch_size, experiment.objective.length
    ids = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=rows)
    flags = jax.ShapeDtypeStruct(shape, jnp.bool_, sharding=rows)

    def embed(params: Any, tokens: Any) -> Any:
        return compute_vectors(params, tokens, (spec,), (None,), dtype)[0]

    config = with_vocabulary(
        experiment.model, experiment.data.vocab_size, experiment.model.pad_id
    )

    def init(key: jax.Array) -> bert_jax.BertParams:
        return bert_jax.init_params(key, config, ())

    tokens = bert_jax.BertTokens(ids, ids, flags, ids, flags)
    return Embedding(embed, init, tokens, experiment.model.num_blocks)
