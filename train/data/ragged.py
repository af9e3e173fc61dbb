# SPDX-License-Identifier: Apache-2.0
"""Expansion of ranges of different lengths into flat arrays."""

import numpy as np
from jaxtyping import Int


def write_out(
    starts: Int[np.ndarray, " N"], lengths: Int[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """List all numbers of the ranges, one range after the other.

    Args:
      starts: the first number of each range.
      lengths: the length of each range, 0 or more.

    Returns:
      For each number the index of its range, its index in the range, and the number.

    Example:
      >>> [a.tolist() for a in write_out(np.array([5, 9]), np.array([2, 1]))]
      [[0, 0, 1], [0, 1, 0], [5, 6, 9]]
    """
    of = np.repeat(np.arange(len(starts)), lengths)
    place = np.arange(len(of)) - (np.cumsum(lengths) - lengths)[of]
    return of, place, place + starts[of]
