# SPDX-License-Identifier: Apache-2.0
"""The device mesh over which the rows of a batch are sharded, set during tracing.

XLA partitions the operations of JAX by itself; our own kernels need the mesh for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jax.sharding import Mesh

_mesh: ContextVar[Mesh | None] = ContextVar("mesh", default=None)


def mesh_of_rows() -> Mesh | None:
    """Return the mesh set by `rows_spread_over`, or None."""
    return _mesh.get()


@contextmanager
def rows_spread_over(mesh: Mesh | None) -> Iterator[None]:
    """Set the mesh for functions of sharded rows that are traced in this block.

    The rows are sharded over all axes of the mesh, as by
    `embed_jax.devices.mesh.shard_rows`.
    """
    token = _mesh.set(mesh)
    try:
        yield
    finally:
        _mesh.reset(token)
