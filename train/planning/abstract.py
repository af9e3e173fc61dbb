# SPDX-License-Identifier: Apache-2.0
"""A training step as shapes alone: no data, no weights, any devices."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import bert_jax
import elmo_jax
from bert_jax.embed import compute_vectors as bert_vectors
from elmo_jax.embed import compute_vectors as elmo_vectors
from embed_jax.devices.spread import rows_spread_over
from embed_jax.layers.layer_spec import parse_layer_spec
from train.config import BilmPretraining, Experiment, MaskedLmPretraining
from train.families.bert.batches import MaskedLmBatch, MaskedLmRows
from train.families.elmo.batches import BilmBatch, BilmRows, round_up
from train.families.elmo.negatives import Negatives
from train.loop.compiled import CompiledStep
from train.loop.optimizer import make_optimizer
from train.loop.phases import check_shared
from train.loop.sharding import shardings_of, shardings_of_batch
from train.loop.step import TrainState, init_state, make_step
from train.objectives.build import (
    bilm_objective,
    heads_of,
    masked_lm_objective,
    with_vocabulary,
)
from train.objectives.objective import Batch, Objective


class Abstract(NamedTuple):
    """Something that can be compiled.

    Attributes:
      compile: gives the program.
      held: the arrays that are there before and after it, by what they are, with their
        places on the mesh.
      kept_bytes: gives the size of what the forward pass keeps for the backward pass,
        of all chips together.
      model_flops: operations of the model's products, of all chips together.
      row_length: positions of a row.
    """

    compile: Callable[[], Any]
    held: Mapping[str, Any]
    kept_bytes: Callable[[], int]
    model_flops: float
    row_length: int


def abstract_step(experiment: Experiment, mesh: Mesh, dtype: jnp.dtype) -> Abstract:
    """Make the step of a configuration for the devices of a mesh.

    Args:
      experiment: its batch is that of all devices.
      mesh: devices that need not be there.
      dtype: of products.

    Raises:
      ValueError: a batch that the devices cannot share.
    """
    check_shared(experiment, mesh)
    make = _bilm if isinstance(experiment, BilmPretraining) else _masked_lm
    objective, init, batch = make(cast(Any, experiment), dtype, mesh)
    optimizer, _ = make_optimizer(experiment.optimizer, experiment.num_steps)

    def first_state() -> TrainState:
        return init_state(objective, init(jax.random.key(0)), optimizer)

    state = jax.eval_shape(first_state)
    rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    leaves, tree = jax.tree.flatten(state)
    places = shardings_of(state, mesh)
    state = jax.tree.unflatten(tree, map(_placed, leaves, places))
    state = state.replace(carry=_all_placed(state.carry, rows))
    step = make_step(
        objective,
        optimizer,
        seed=experiment.seed,
        num_parts=experiment.num_parts,
        mesh=mesh,
        by_rows=experiment.optimizer.keeps_unread_rows,
    )
    batch = jax.tree.map(_placed, batch, shardings_of_batch(batch, mesh))
    return Abstract(
        compile=lambda: CompiledStep(step, state).compile(state, batch),
        held={
            "weights": state.params,
            "optimiser": state.moments,
            "batch": (batch, state.carry),
        },
        kept_bytes=lambda: kept_bytes_of(objective, state, batch, mesh),
        model_flops=objective.flops_per_batch,
        row_length=_row_length(experiment),
    )


def abstract_embedding(
    experiment: Experiment, mesh: Mesh, dtype: jnp.dtype, layer_spec: str
) -> Abstract:
    """Make the function that embeds as many rows, each of the same length.

    Args:
      experiment: whose model, rows and row length.
      mesh: devices that need not be there; each has all weights.
      dtype: of products.
      layer_spec: which layers.

    Raises:
      ValueError: a batch that the devices cannot share, a layer the model lacks.
    """
    if experiment.batch_size % mesh.size:
        raise ValueError(
            f"batch_size {experiment.batch_size} is not a multiple of {mesh.size} "
            "devices"
        )
    rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    whole = NamedSharding(mesh, PartitionSpec())
    B, T = experiment.batch_size, _row_length(experiment)
    spec = parse_layer_spec(layer_spec)
    ids = jax.ShapeDtypeStruct((B, T), jnp.int32, sharding=rows)
    flags = jax.ShapeDtypeStruct((B, T), jnp.bool_, sharding=rows)
    make = _bilm if isinstance(experiment, BilmPretraining) else _masked_lm
    objective, init, batch = make(cast(Any, experiment), dtype, mesh)
    params = jax.eval_shape(init, jax.random.key(0)).replace(heads={})
    params = _all_placed(params, whole)
    tokens: Any
    if isinstance(experiment, BilmPretraining):
        types = cast(BilmBatch, batch).types
        tokens = elmo_jax.ElmoTokens(_placed(types, whole), ids, flags, flags, flags)

        def embed(params: Any, tokens: Any) -> Any:
            return elmo_vectors(params, tokens, (spec,), (None,), dtype)[0][0]
    else:
        tokens = bert_jax.BertTokens(ids, ids, flags, ids, flags)

        def embed(params: Any, tokens: Any) -> Any:
            return bert_vectors(params, tokens, (spec,), (None,), dtype)[0]

    num_blocks = experiment.model.num_blocks
    share = spec.highest_layer(num_blocks) / num_blocks

    def compile() -> Any:
        with rows_spread_over(mesh):
            return jax.jit(embed, out_shardings=rows).lower(params, tokens).compile()

    return Abstract(
        compile=compile,
        held={"weights": params, "batch": tokens},
        kept_bytes=lambda: 0,
        model_flops=share * objective.encoder_flops_per_batch / 3,
        row_length=T,
    )


def _row_length(experiment: Experiment) -> int:
    if isinstance(experiment, BilmPretraining):
        return experiment.window
    return experiment.objective.length


def kept_bytes_of(
    objective: Objective, state: TrainState, batch: Batch, mesh: Mesh
) -> int:
    """Add up what differentiation keeps, the weights themselves left out."""

    def forward(params: Any, carry: Any, batch: Batch) -> Any:
        weights = objective.weights_of(batch)
        key = jax.random.key(0)
        return jax.vjp(
            lambda params: objective.loss(params, carry, batch, weights, key)[0], params
        )[1]

    with rows_spread_over(mesh):
        kept = jax.eval_shape(forward, state.params, state.carry, batch)
    total = sum(map(_num_bytes, jax.tree.leaves(kept)))
    return max(total - sum(map(_num_bytes, jax.tree.leaves(state.params))), 0)


def _num_bytes(leaf: Any) -> int:
    return math.prod(leaf.shape) * leaf.dtype.itemsize


def distinct_words(num_words: int) -> int:
    """Return how many distinct words so many words of a text have, about.

    Heaps' law, fitted to spans of 20 words of English novels: 2,149 of 5,120, 10,479 of
    40,960.

    Example:
      >>> distinct_words(5120), distinct_words(40960)
      (2369, 10158)
    """
    return min(num_words, round(6 * num_words**0.7))


def _masked_lm(
    experiment: MaskedLmPretraining, dtype: jnp.dtype, mesh: Mesh
) -> tuple[Objective, Any, MaskedLmBatch]:
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
    return objective, init, MaskedLmBatch(rows)


def _bilm(
    experiment: BilmPretraining, dtype: jnp.dtype, mesh: Mesh
) -> tuple[Objective, Any, BilmBatch]:
    config, B, T = experiment.model, experiment.batch_size, experiment.window
    num_words = experiment.data.vocab_size
    objective = bilm_objective(experiment, dtype, num_words, mesh=mesh)
    positions = jax.ShapeDtypeStruct((B, 2, T), jnp.int32)
    rows = BilmRows(
        words=positions,
        targets=positions,
        weights=jax.ShapeDtypeStruct((B, 2, T), jnp.float32),
        fresh=jax.ShapeDtypeStruct((B,), jnp.bool_),
    )
    types = round_up(2 + distinct_words(math.prod(positions.shape)))
    shape: tuple[int, ...] = (types,)
    if config.char_cnn:
        shape = (types, config.char_cnn.max_characters)
    negatives = None
    if experiment.num_negatives:
        negatives = Negatives(
            ids=jax.ShapeDtypeStruct((2, experiment.num_negatives), jnp.int32),
            num_tries=jax.ShapeDtypeStruct((2,), jnp.float32),
        )
    batch = BilmBatch(rows, jax.ShapeDtypeStruct(shape, jnp.int32), negatives)
    init = partial(elmo_jax.init_params, config=config, num_words=num_words)
    return objective, init, batch


def _all_placed(tree: Any, place: NamedSharding) -> Any:
    return jax.tree.map(lambda leaf: _placed(leaf, place), tree)


def _placed(leaf: Any, place: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
