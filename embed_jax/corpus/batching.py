# SPDX-License-Identifier: Apache-2.0
"""Rows of many lengths into few shapes with little padding.

Every new batch shape costs a compilation, every padded position a position's work. A
short list of lengths bounds the first, sorting by length the second, and a budget in
tokens, not in rows, keeps the memory of a batch the same whatever its length.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from embed_jax.checks import check_at_least


class Batch(NamedTuple):
    """Rows to be computed together.

    Attributes:
      indices: which rows, longest first.
      num_rows: rows of the compiled shape, at least as many as there are indices.
      length: tokens a row of the compiled shape.
    """

    indices: list[int]
    num_rows: int
    length: int

    def split(self, values: np.ndarray) -> np.ndarray:
        """Leave out the rows that only fill the shape up."""
        return values[: len(self.indices)]


@dataclasses.dataclass(frozen=True)
class BatchShapes:
    """The shapes that batches may have.

    Attributes:
      token_budget: most positions of a batch, padding included; exceeded only by a
        single row (or `row_multiple` rows) longer than it.
      max_length: longest row in tokens.
      row_multiple: rows come in multiples of it, for so many devices.
    """

    token_budget: int
    max_length: int
    row_multiple: int = 1

    def __post_init__(self) -> None:
        """Refuse what no batch can have.

        Raises:
          ValueError: a field below 1.
        """
        check_at_least(self, 1, "token_budget", "max_length", "row_multiple")

    @property
    def lengths(self) -> tuple[int, ...]:
        """The row lengths: multiples of 4 to 32, then by an eighth to a quarter."""
        lengths, length, step = [], 4, 4
        while length < self.max_length:
            lengths.append(length)
            if length >= 8 * step:
                step *= 2
            length += step
        return (*lengths, self.max_length)

    def bucket(self, length: int) -> int:
        """Return the shortest row length that holds `length` tokens.

        Raises:
          ValueError: no row is that long.
        """
        for candidate in self.lengths:
            if candidate >= length:
                return candidate
        raise ValueError(f"{length} tokens, but rows have at most {self.max_length}")

    def full(self, length: int) -> int:
        """Return how many rows of a length the budget allows."""
        multiple = self.row_multiple
        return max(self.token_budget // length // multiple, 1) * multiple

    def num_rows(self, wanted: int, length: int) -> int:
        """Return the rows of a batch: as many as a full one has, or a half, a quarter.

        So few rows are not computed as many, at the price of a few more shapes.
        """
        rows = self.full(length)
        while rows // 2 >= wanted and rows // 2 % self.row_multiple == 0:
            rows //= 2
        return rows

    def plan(self, lengths: Sequence[int]) -> list[Batch]:
        """Put rows into batches, the longest first.

        Longest first, a budget that is too large for the memory fails at once, not
        after an hour.

        Args:
          lengths: of each row, in tokens.

        Returns:
          Batches that hold every index once.

        Example:
          >>> for batch in BatchShapes(token_budget=64, max_length=32).plan([30, 7, 5]):
          ...     print(batch)
          Batch(indices=[0, 1], num_rows=2, length=32)
          Batch(indices=[2], num_rows=1, length=8)
        """
        order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        batches = []
        start = 0
        while start < len(order):
            length = self.bucket(lengths[order[start]])
            indices = order[start : start + self.full(length)]
            batches.append(Batch(indices, self.num_rows(len(indices), length), length))
            start += len(indices)
        return batches
