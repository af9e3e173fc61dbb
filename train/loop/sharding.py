# SPDX-License-Identifier: Apache-2.0
"""Sharding rules of weights and batches on a mesh, one table for both models.

The mesh has two axes. Rows of a batch are sharded over both. Weights, their gradients
and the optimiser's state are sharded over "fsdp" and replicated over "data" (fully
sharded data parallelism). A step gathers each weight once, for forward and backward
pass; Zhao et al. 2023 gather a second time for the backward pass.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from embed_jax.tree import name_leaves
from train.objectives.objective import Batch

DATA, FSDP = "data", "fsdp"

# The last names on the way to a leaf, and the axes that may be divided, the first that
# the mesh divides evenly. What no line matches is small and stays whole.
RULES: tuple[tuple[str, tuple[int, ...]], ...] = (
    # BERT and ELMo: every product's inputs; of the filters, their number.
    (r"(query|key|value|out|up|down|transform|dense|gate|projection)\.kernel$", (0, 1)),
    (r"convolution_\d+\.kernel$", (2,)),
    # BERT: the width of its tables, for vocabularies have odd sizes.
    (r"(token|position)\.embedding$", (1,)),
    # ELMo: gates and cells of the LSTMs; its word table; the width of its softmax, so
    # that every device has its part of every word that is read.
    (r"(forward|backward)_\d+\.kernel$", (1,)),
    (r"(forward|backward)_\d+\.projection$", (0,)),
    (r"words\.embedding$", (0, 1)),
    (r"softmax\.weights$", (1,)),
)


def training_mesh(fsdp: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Make a mesh of the axes "data" and "fsdp".

    Args:
      fsdp: devices that share one copy of the weights.
      devices: by default all.

    Raises:
      ValueError: the devices are not a multiple of it, or a host has more of them than
        another.

    Example:
      >>> dict(training_mesh(1, jax.devices()[:1]).shape)
      {'data': 1, 'fsdp': 1}
    """
    found = host_by_host(jax.devices() if devices is None else devices)
    if fsdp < 1 or found.size % fsdp:
        raise ValueError(f"fsdp {fsdp} does not divide the {found.size} devices")
    # Neighbours share weights: what is gathered most often has the shortest way.
    return Mesh(found.reshape(-1, fsdp), (DATA, FSDP))


def host_by_host(devices: Sequence[Any]) -> np.ndarray:
    """Sort devices by host, so that the rows of a host are on its own devices.

    On TPU, the ids of a slice's chips are not in the order of the hosts.

    Args:
      devices: each with its `id` and the `process_index` of its host.

    Raises:
      ValueError: hosts have different numbers of devices.
    """
    ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
    hosts = [device.process_index for device in ordered]
    _, numbers = np.unique(hosts, return_counts=True)
    if len(set(numbers.tolist())) > 1:
        raise ValueError(
            f"hosts have {', '.join(map(str, numbers))} devices; all need equally many"
        )
    found = np.empty(len(ordered), object)
    found[:] = ordered
    return found


def spec_of(name: str, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """Return the partition spec of a leaf.

    Args:
      name: the path of the leaf, joined by dots.
      shape: of the whole leaf.
      mesh: its "fsdp" axis is used; without one nothing is sharded.

    Example:
      >>> mesh = training_mesh(1, jax.devices()[:1])
      >>> tuple(spec_of("encoder.layer_0.mlp.up.kernel", (4, 8), mesh))
      ()
    """
    size = mesh.shape.get(FSDP, 1)
    if size > 1:
        for pattern, axes in RULES:
            if re.search(pattern, name):
                for axis in axes:
                    if shape[axis] % size == 0:
                        return PartitionSpec(*[None] * axis, FSDP)
                break
    return PartitionSpec()


def shardings_of(tree: Any, mesh: Mesh) -> list[NamedSharding]:
    """Return the sharding of each leaf of weights, or of a state made of such trees."""
    return [
        NamedSharding(mesh, spec_of(name, leaf.shape, mesh))
        for name, leaf in name_leaves(tree).items()
    ]


def shardings_of_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Return the sharding of each array of a batch, in the structure of the batch.

    Rows are sharded over all devices, and so are types if their number is a multiple of
    the devices; all else is replicated.
    """
    spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    whole = NamedSharding(mesh, PartitionSpec())

    def place(name: str, field: Any) -> Any:
        if name == "types" and len(field) % mesh.size == 0:
            return spread
        return jax.tree.map(lambda _: spread if name == "rows" else whole, field)

    fields = zip(batch._fields, batch, strict=True)
    return type(batch)(*(place(name, field) for name, field in fields))


def gather_weights(params: Any, mesh: Mesh | None) -> Any:
    """Gather sharded weights inside a step; their gradients are sharded again.

    Without a mesh the weights are returned unchanged.
    """
    if mesh is None:
        return params

    def gathered(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
        if sharding.is_fully_replicated:
            return leaf
        return gather(sharding, leaf)

    leaves, tree = jax.tree.flatten(params)
    return jax.tree.unflatten(tree, map(gathered, leaves, shardings_of(params, mesh)))


def gather_rows(rows: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Gather an array of some numbers a row inside a jitted function, for every host.

    Without a mesh it is returned unchanged.
    """
    if mesh is None:
        return rows
    whole = NamedSharding(mesh, PartitionSpec())
    return jax.lax.with_sharding_constraint(rows, whole)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def gather(sharding: NamedSharding, leaf: jax.Array) -> jax.Array:
    """Gather an array with the given sharding, inside a step."""
    whole = NamedSharding(sharding.mesh, PartitionSpec())
    return jax.lax.with_sharding_constraint(leaf, whole)


def _gather_forward(sharding: NamedSharding, leaf: jax.Array) -> tuple:
    return gather(sharding, leaf), None


def _gather_backward(sharding: NamedSharding, _: None, change: jax.Array) -> tuple:
    # First summed and then divided, which XLA makes one reduce-scatter of where it has
    # one. Divided alone, the division would spread to the activations.
    whole = NamedSharding(sharding.mesh, PartitionSpec())
    change = jax.lax.with_sharding_constraint(change, whole)
    return (jax.lax.with_sharding_constraint(change, sharding),)


gather.defvjp(_gather_forward, _gather_backward)
