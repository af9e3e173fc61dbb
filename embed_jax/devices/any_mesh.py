# SPDX-License-Identifier: Apache-2.0
"""Functions that compute on any mesh of the caller's, whatever the types of its axes.

An axis of a mesh is Auto, Explicit or Manual. On Auto axes XLA places what lies between
arguments and results. On Explicit ones, which `jax.make_mesh` gives, every operation
must say where its result lies. Manual ones belong to `jax.shard_map`: a function there
computes one device's part. See docs/decisions/meshes.md.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def on_any_mesh(result: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a decorator for functions of arrays, to be put under `jax.jit`.

    Where the arguments, or the caller's `jax.set_mesh`, have a mesh with Explicit axes,
    the function runs with those axes Auto, and its results are placed as the argument
    `tokens` is: their axis B as axis B of its mask, their axis T as axis T; all other
    axes, and the results of a function without tokens, are replicated. On other meshes,
    and without one, the function runs as it is.

    Args:
      result: the axes of the results as letters, such as "B T D", or a tree of such
        strings, one for each part of the results.

    Example:
      >>> mesh = jax.make_mesh((1,), ("data",))
      >>> table = jax.device_put(np.eye(4), NamedSharding(mesh, PartitionSpec("data")))
      >>> rows = jax.jit(on_any_mesh("U P")(lambda table, rows: table[rows]))
      >>> rows(table, np.array([2, 3])).shape
      (2, 4)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def on_mesh(*args: P.args, **kwargs: P.kwargs) -> R:
            given: Any = (args, kwargs)
            mesh = mesh_of(given)
            explicit = [
                name
                for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
                if kind == AxisType.Explicit
            ]
            if not explicit:
                return function(*args, **kwargs)
            arguments = signature.bind(*args, **kwargs).arguments
            axes = _axes_of_tokens(arguments.get("tokens"))
            auto = mesh.update_axis_types(dict.fromkeys(explicit, AxisType.Auto))
            with jax.sharding.use_abstract_mesh(auto):
                args, kwargs = _place(given, NamedSharding(auto, PartitionSpec()))
                results = function(*args, **kwargs)

            def place(letters: str, part: Any) -> Any:
                spec = PartitionSpec(*map(axes.get, letters.split()))
                return _place(part, NamedSharding(mesh, spec))

            return jax.tree.map(place, result, results)

        return on_mesh

    return decorate


def mesh_of(tree: Any) -> AbstractMesh:
    """Return the mesh of a computation: the context's, or else that of its arrays.

    It may be empty. While a function is traced, arrays know the mesh that they are on.
    Where some are on Explicit axes and others on Auto ones, it is the Explicit mesh.

    Example:
      >>> mesh_of(np.zeros(3)).empty
      True
    """
    meshes = [jax.sharding.get_abstract_mesh()]
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array):
            meshes.append(jax.typeof(leaf).sharding.mesh)
    explicit = [mesh for mesh in meshes if AxisType.Explicit in mesh.axis_types]
    some = [mesh for mesh in meshes if not mesh.empty]
    return next(iter([*explicit, *some, meshes[0]]))


def varying_alike(tree: T) -> T:
    """Have all arrays vary over the Manual axes that any of them varies over.

    In `jax.shard_map` the type of an array says over which axes its values differ, and
    loops and custom gradients want the same type on their way in and out. Elsewhere the
    arrays are returned unchanged.
    """
    axes = frozenset[Any]().union(*map(_varying, jax.tree.leaves(tree)))

    def widen(leaf: Any) -> Any:
        missing = tuple(axes - _varying(leaf))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(widen, tree)


def _varying(leaf: Any) -> frozenset[Any]:
    return frozenset(jax.typeof(leaf).manual_axis_type.varying)


def _axes_of_tokens(tokens: Any) -> dict[str, Any]:
    """Return the mesh axes that axes B and T of a batch of tokens are divided over."""
    if tokens is None:
        return {}
    return dict(zip("BT", jax.typeof(tokens.mask).sharding.spec, strict=False))


def _place(tree: Any, place: NamedSharding) -> Any:
    def placed(leaf: Any) -> Any:
        is_array = isinstance(leaf, jax.Array | np.ndarray)
        return jax.sharding.reshard(leaf, place) if is_array else leaf

    return jax.tree.map(placed, tree)
