# SPDX-License-Identifier: Apache-2.0
"""The nearest contexts of every context, by cosine."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

# Contexts whose neighbours are looked for at once.
BLOCK = 1024


class Neighbours(NamedTuple):
    """The nearest contexts of each context.

    Attributes:
      indices: of the neighbours, nearest first; the same number in every row.
      cosines: cosine similarities to them.
    """

    indices: Int[np.ndarray, "N K"]
    cosines: Float[np.ndarray, "N K"]


def find_neighbours(
    unit: Float[np.ndarray, "N D"], num_contexts: int, count: int
) -> Neighbours:
    """Find the nearest contexts of each vector, itself excluded.

    Args:
      unit: vectors of length 1, the contexts first.
      num_contexts: number of contexts; only these can be neighbours.
      count: neighbours of each vector; fewer where there are fewer contexts.

    Returns:
      The neighbours of every vector; ties are in the order of the contexts.
    """
    count = max(min(count, num_contexts - 1), 0)
    indices = np.zeros((len(unit), count), np.int64)
    cosines = np.zeros((len(unit), count), unit.dtype)
    for start in range(0, len(unit) if count else 0, BLOCK):
        rows = slice(start, start + BLOCK)
        block = unit[rows] @ unit[:num_contexts].T
        own = np.arange(start, min(start + len(block), num_contexts))
        block[own - start, own] = -np.inf
        some = np.sort(np.argpartition(-block, count - 1, axis=1)[:, :count], axis=1)
        order = np.argsort(-np.take_along_axis(block, some, 1), axis=1, kind="stable")
        indices[rows] = np.take_along_axis(some, order, axis=1)
        cosines[rows] = np.take_along_axis(block, indices[rows], axis=1)
    return Neighbours(indices, cosines)
