# SPDX-License-Identifier: Apache-2.0
"""Where arrays lie: weights whole on every device, rows of batches spread over them."""

from jax.sharding import Mesh

from embed_jax.mesh import replicate, shard_rows
from train.objectives.objective import Batch
from train.step import TrainState


def place_state(state: TrainState, mesh: Mesh) -> TrainState:
    """Repeat weights and moments on every device; spread what rows carry."""
    whole = replicate(state.replace(carry=()), mesh)
    return whole.replace(carry=shard_rows(state.carry, mesh))


def place_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Spread a batch's rows; repeat what all rows share."""
    shared = replicate(batch._replace(rows=()), mesh)
    return shared._replace(rows=shard_rows(batch.rows, mesh))
