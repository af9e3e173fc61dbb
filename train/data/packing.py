# SPDX-License-Identifier: Apache-2.0
"""Packing of instances into rows of one length (best fit), with little padding."""

import numpy as np
from jaxtyping import Int


def pack(
    lengths: Int[np.ndarray, " N"], row_length: int, max_instances: int
) -> Int[np.ndarray, " N"]:
    """Assign each instance to the row that it fills best.

    Args:
      lengths: tokens of each instance, at most `row_length`.
      row_length: tokens of a row.
      max_instances: maximal instances of a row.

    Returns:
      The row of each instance, int64, numbered from 0 in the order of their creation.

    Example:
      >>> pack(np.array([5, 4, 3, 4]), 8, 3).tolist()
      [0, 1, 0, 1]
    """
    by_room: list[list[int]] = [[] for _ in range(row_length + 1)]
    filled = 0  # bit r is set where a row has room for exactly r more tokens
    counts: list[int] = []
    rows = np.empty(len(lengths), np.int64)
    for index, length in enumerate(lengths.tolist()):
        fitting = filled >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                filled &= ~(1 << room)
        else:
            room, row = row_length, len(counts)
            counts.append(0)
        rows[index] = row
        counts[row] += 1
        room -= length
        if room and counts[row] < max_instances:
            by_room[room].append(row)
            filled |= 1 << room
    return rows
