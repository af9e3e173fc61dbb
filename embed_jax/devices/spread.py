# SPDX-License-Identifier: Apache-2.0
"""The mesh that a batch's rows are spread over, for code that must know it.

The compiler divides all operations of jax by itself, but no kernel of ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jax.sharding import Mesh

_mesh: ContextVar[Mesh | None] = ContextVar("mesh", default=None)


def mesh_of_rows() -> Mesh | None:
    """Return the mesh, or None where nobody has told."""
    return _mesh.get()


@contextmanager
def rows_spread_over(mesh: Mesh | None) -> Iterator[None]:
    """Tell the mesh while a function of spread rows is traced.

    Its rows are divided over all axes of the mesh, as
    `embed_jax.devices.mesh.shard_rows` does.
    """
    token = _mesh.set(mesh)
    try:
        yield
    finally:
        _mesh.reset(token)
