# SPDX-License-Identifier: Apache-2.0
"""Placement of states and batches on devices, by the rules of `train.loop.sharding`.

With several hosts, each places its part of an array on its own devices.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from train.loop.sharding import shardings_of, shardings_of_batch
from train.loop.step import TrainState
from train.objectives.objective import Batch


def host_slice() -> tuple[int, int]:
    """Return this host's index and the number of hosts, the `share` of batches."""
    return jax.process_index(), jax.process_count()


def place_state(state: TrainState, mesh: Mesh) -> TrainState:
    """Shard weights and optimiser state by the rules, and the carry by rows.

    Args:
      state: the whole state, the same on every host.
      mesh: the devices of all hosts.
    """
    placed = place_weights(state.replace(carry=()), mesh)
    spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    carry = place_whole(state.carry, jax.tree.map(lambda _: spread, state.carry))
    return placed.replace(carry=carry)


def place_weights(weights: Any, mesh: Mesh) -> Any:
    """Shard a tree of weights, or of what is made of such trees, by the rules."""
    leaves, tree = jax.tree.flatten(weights)
    return jax.tree.unflatten(tree, place_whole(leaves, shardings_of(weights, mesh)))


def place_batch(batch: Batch, mesh: Mesh | None) -> Batch:
    """Shard a batch's rows and types over the devices; replicate its other fields.

    Args:
      batch: this host's share of the rows, see `host_slice`, and all of the rest.
      mesh: the devices of all hosts; None returns the batch unchanged.
    """
    if mesh is None:
        return batch
    places = shardings_of_batch(batch, mesh)
    rows = jax.make_array_from_process_local_data(places.rows[0], batch.rows)
    shared = batch._replace(rows=())
    return place_whole(shared, places._replace(rows=()))._replace(rows=rows)


def place_whole(tree: Any, places: Any) -> Any:
    """Place arrays on devices; every host has the whole arrays.

    Args:
      tree: arrays.
      places: a sharding for each.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, places)

    def place(leaf: Any, sharding: NamedSharding) -> jax.Array:
        # Unlike `device_put` this does not send all of it to all hosts, to compare it.
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)

    return jax.tree.map(place, tree, places)
