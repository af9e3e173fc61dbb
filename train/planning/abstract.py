# SPDX-License-Identifier: Apache-2.0
"""Abstract training and embedding steps: shapes without data, weights or devices."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from embed_jax.devices.random_keys import random_key
from embed_jax.layers.layer_spec import parse_layer_spec
from train.config import Pretraining
from train.families.registry import family_of
from train.loop.compiled import CompiledStep
from train.loop.optimizer import make_optimizer
from train.loop.sharding import shardings_of, shardings_of_batch
from train.loop.step import TrainState, init_state, make_step
from train.objectives.objective import Batch, Objective


class Abstract(NamedTuple):
    """An abstract program that can be compiled.

    Attributes:
      compile: returns the compiled program.
      held: the shapes of the arrays that persist before and after it, by name, with
        their shardings.
      kept_bytes: returns the bytes that the forward pass saves for the backward pass,
        over all chips.
      model_flops: operations of the model's matrix products, over all chips.
      row_length: positions of a row.
    """

    compile: Callable[[], Any]
    held: Mapping[str, Any]
    kept_bytes: Callable[[], int]
    model_flops: float
    row_length: int


def abstract_step(experiment: Pretraining, mesh: Mesh, dtype: jnp.dtype) -> Abstract:
    """Make the abstract training step of a configuration on a mesh.

    Args:
      experiment: its batch is the global batch, which the devices can share.
      mesh: devices, which need not exist.
      dtype: of products.
    """
    shapes = family_of(experiment).step_shapes(experiment, dtype, mesh)
    objective = shapes.objective
    optimizer, _ = make_optimizer(experiment.optimizer, experiment.num_steps)

    def first_state() -> TrainState:
        return init_state(objective, shapes.init(random_key(0)), optimizer)

    state = jax.eval_shape(first_state)
    rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    leaves, tree = jax.tree.flatten(state)
    state = jax.tree.unflatten(tree, map(_placed, leaves, shardings_of(state, mesh)))
    state = state.replace(carry=_all_placed(state.carry, rows))
    step = make_step(
        objective,
        optimizer,
        seed=experiment.seed,
        grad_accum_steps=experiment.grad_accum_steps,
        mesh=mesh,
        sparse_update=experiment.optimizer.sparse_update,
    )
    places = shardings_of_batch(shapes.batch, mesh)
    batch = jax.tree.map(_placed, shapes.batch, places)
    return Abstract(
        compile=lambda: CompiledStep(step, state).compile(state, batch),
        held={
            "weights": state.params,
            "optimiser": state.opt_state,
            "batch": (batch, state.carry),
        },
        kept_bytes=lambda: kept_bytes_of(objective, state, batch),
        model_flops=objective.flops_per_batch,
        row_length=shapes.row_length,
    )


def abstract_embedding(
    experiment: Pretraining, mesh: Mesh, dtype: jnp.dtype, layer_spec: str
) -> Abstract:
    """Make the abstract function that embeds a batch of a configuration's size.

    Args:
      experiment: sets the model, the number of rows and their length.
      mesh: devices, which need not exist; each has all weights.
      dtype: of products.
      layer_spec: the layers.

    Raises:
      ValueError: a batch that cannot be divided among the devices, or a layer that the
        model lacks.
    """
    if experiment.batch_size % mesh.size:
        raise ValueError(
            f"batch_size {experiment.batch_size} is not a multiple of {mesh.size} "
            "devices"
        )
    rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    whole = NamedSharding(mesh, PartitionSpec())
    spec = parse_layer_spec(layer_spec)
    family = family_of(experiment)
    shapes = family.step_shapes(experiment, dtype, mesh)
    embedding = family.embedding(experiment, spec, dtype, rows, whole)
    params = _all_placed(jax.eval_shape(embedding.init, random_key(0)), whole)
    share = spec.highest_layer(embedding.num_blocks) / embedding.num_blocks

    def compile() -> Any:
        function = jax.jit(embedding.function, out_shardings=rows)
        return function.lower(params, embedding.tokens).compile()

    return Abstract(
        compile=compile,
        held={"weights": params, "batch": embedding.tokens},
        kept_bytes=lambda: 0,
        model_flops=share * shapes.objective.encoder_flops_per_batch / 3,
        row_length=shapes.row_length,
    )


def kept_bytes_of(objective: Objective, state: TrainState, batch: Batch) -> int:
    """Return the bytes saved for the backward pass, without the weights."""

    def forward(params: Any, carry: Any, batch: Batch) -> Any:
        weights = objective.weights_of(batch)
        key = random_key(0)
        return jax.vjp(
            lambda params: objective.loss(params, carry, batch, weights, key)[0], params
        )[1]

    kept = jax.eval_shape(forward, state.params, state.carry, batch)
    total = sum(map(_num_bytes, jax.tree.leaves(kept)))
    return max(total - sum(map(_num_bytes, jax.tree.leaves(state.params))), 0)


def _num_bytes(leaf: Any) -> int:
    return math.prod(leaf.shape) * leaf.dtype.itemsize


def _all_placed(tree: Any, place: NamedSharding) -> Any:
    return jax.tree.map(lambda leaf: _placed(leaf, place), tree)


def _placed(leaf: Any, place: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
