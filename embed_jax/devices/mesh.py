# SPDX-License-Identifier: Apache-2.0
"""Device meshes for data parallelism: rows are sharded, weights are replicated."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

T = TypeVar("T")


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Make a mesh with the one axis "data" over devices, by default all of them.

    Example:
      >>> dict(data_mesh(jax.devices()[:1]).shape)
      {'data': 1}
    """
    return Mesh(np.array(jax.devices() if devices is None else devices), ("data",))


def local_mesh(num_devices: int | None = None) -> Mesh | None:
    """Make a mesh over devices of this process; return None for a single device.

    Args:
      num_devices: number of devices to use, the first ones; by default all.

    Raises:
      ValueError: this process has fewer devices.
    """
    here = jax.local_devices()
    if num_devices is not None and not 1 <= num_devices <= len(here):
        raise ValueError(f"--devices {num_devices}: here are {len(here)}")
    chosen = here[:num_devices]
    return data_mesh(chosen) if len(chosen) > 1 else None


def shard_rows(tree: T, mesh: Mesh) -> T:
    """Shard the first axis of every array over all devices of the mesh.

    Raises:
      ValueError: the axis is not a multiple of the number of devices.
    """
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))


def replicate(tree: T, mesh: Mesh) -> T:
    """Replicate every array on all devices of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def replicate_beside(tree: T, others: Any) -> T:
    """Replicate every array on the devices that other arrays are on.

    Arrays that the caller has not placed leave the choice to jax, and so does this.
    """
    for leaf in jax.tree.leaves(others):
        if isinstance(leaf, jax.Array) and leaf.committed:
            sharding = leaf.sharding
            if isinstance(sharding, NamedSharding):
                sharding = NamedSharding(sharding.mesh, PartitionSpec())
            return jax.device_put(tree, sharding)
    return jax.device_put(tree)
