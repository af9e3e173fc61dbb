# SPDX-License-Identifier: Apache-2.0
"""The device mesh: where rows are spread and weights are repeated."""

from collections.abc import Sequence
from typing import TypeVar

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


def shard_rows(tree: T, mesh: Mesh) -> T:
    """Spread the first axis of every array over all devices of the mesh.

    Raises:
      ValueError: the axis is not a multiple of the number of devices.
    """
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(mesh.axis_names)))


def replicate(tree: T, mesh: Mesh) -> T:
    """Put a whole copy of every array on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
