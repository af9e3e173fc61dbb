# SPDX-License-Identifier: Apache-2.0
"""Sparse updates: a step on the rows of a table that a batch reads, not on all rows.

The sampled softmax reads about ten thousand of 793,471 words. All other rows have no
gradient, and Adagrad changes neither such rows nor their state. So a step takes out the
rows that are read and puts them back, with the same result, instead of passing over two
gigabytes several times.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from embed_jax.tree import SEPARATOR, map_named

Rows = Mapping[str, Int[Array, " R"]]
"""For each table, by its path, the rows that are read: distinct and ascending, padded
with ascending numbers beyond the table."""


def unique_rows(ids: Int[Array, " N"], num_rows: int) -> Int[Array, " R"]:
    """Return the distinct rows among ids, in the form of `Rows`.

    Args:
      ids: may be repeated, in any order.
      num_rows: of the table.

    Example:
      >>> unique_rows(jnp.array([4, 1, 4, 1]), 9).tolist()
      [1, 4, 11, 12]
    """
    size = min(len(ids), num_rows)
    rows = jnp.unique(ids, size=size, fill_value=num_rows)
    # What writes rows back is promised that no two are the same.
    return jnp.where(rows == num_rows, num_rows + jnp.arange(size), rows)


def take_rows(tree: Any, rows: Rows) -> Any:
    """Reduce the tables of weights, or of a tree made of such trees, to their rows.

    Padding rows are zero.
    """

    def take(leaf: Array, read: Array) -> Array:
        return leaf.at[read].get(mode="fill", fill_value=0)

    return _at_tables(take, rows, tree)


def put_rows(tree: Any, rows: Rows, changed: Any) -> Any:
    """Return `changed` with whole tables again, in which the rows are replaced."""

    def put(read: Array | None, leaf: Array, new: Array) -> Array:
        if read is None:
            return new
        return leaf.at[read].set(
            new, mode="drop", indices_are_sorted=True, unique_indices=True
        )

    return map_named(
        lambda name, leaf, new: put(_rows_of(name, rows), leaf, new), tree, changed
    )


def _at_tables(function: Callable, rows: Rows, tree: Any) -> Any:
    def apply(name: str, leaf: Any) -> Any:
        read = _rows_of(name, rows)
        return leaf if read is None else function(leaf, read)

    return map_named(apply, tree)


def _rows_of(name: str, rows: Rows) -> Array | None:
    for table, read in rows.items():
        if name == table or name.endswith(SEPARATOR + table):
            return read
    return None
