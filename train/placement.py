# SPDX-License-Identifier: Apache-2.0
"""Puts a state and its batches where `train.sharding` says that they lie."""

import jax
from jax.sharding import Mesh

from embed_jax.mesh import replicate, shard_rows
from train.objectives.objective import Batch
from train.sharding import shardings_of
from train.step import TrainState


def place_state(state: TrainState, mesh: Mesh) -> TrainState:
    """Divide weights and moments as the rules say; spread what rows carry."""
    weights = state.replace(carry=())
    leaves, tree = jax.tree.flatten(weights)
    placed = jax.device_put(leaves, shardings_of(weights, mesh))
    carry = shard_rows(state.carry, mesh)
    return jax.tree.unflatten(tree, placed).replace(carry=carry)


def place_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Spread a batch's rows; repeat what all rows share."""
    shared = replicate(batch._replace(rows=()), mesh)
    return shared._replace(rows=shard_rows(batch.rows, mesh))
