# SPDX-License-Identifier: Apache-2.0
"""Batching of rows by length: few batch shapes, little padding.

Every new batch shape costs a compilation, and every padded position costs compute. A
short list of row lengths bounds the number of shapes, sorting by length bounds the
padding, and a budget in tokens instead of rows bounds the memory of a batch.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from embed_jax.checks import check_at_least

SHORTEST_BUCKET = 8


def bucket_length(length: int, longest: int | None = None) -> int:
    """Return the length to pad a row of `length` tokens to: the next power of two.

    For a loop of one's own, in which every length costs a compilation: there are 7 of
    them up to 512, and 8 up to 1,024. Where lengths are spread evenly, a quarter of the
    positions is padding. `BatchShapes`, by which `embed_words` batches rows that it has
    sorted, has more lengths and less padding.

    Args:
      length: of the longest row of a batch, in tokens.
      longest: that a row may have, which need not be a power of two.

    Raises:
      ValueError: `length` is above `longest`.

    Example:
      >>> [bucket_length(length) for length in (1, 9, 16, 17, 200)]
      [8, 16, 16, 32, 256]
      >>> bucket_length(300, longest=500)
      500
    """
    bucket = max(SHORTEST_BUCKET, 1 << max(length - 1, 0).bit_length())
    if longest is None:
        return bucket
    if length > longest:
        raise _too_long(length, longest)
    return min(bucket, longest)


def _too_long(length: int, longest: int) -> ValueError:
    return ValueError(f"{length} tokens, but rows have at most {longest}")


class Batch(NamedTuple):
    """Rows that are computed together.

    Attributes:
      indices: indices of the rows, longest first.
      num_rows: rows of the compiled shape, at least the number of indices.
      length: tokens a row of the compiled shape.
    """

    indices: list[int]
    num_rows: int
    length: int

    def split(self, values: np.ndarray) -> np.ndarray:
        """Return the rows of the result without those that are padding."""
        return values[: len(self.indices)]


@dataclasses.dataclass(frozen=True)
class BatchShapes:
    """The shapes that batches may have.

    Attributes:
      token_budget: maximal positions of a batch, padding included; exceeded only by a
        single row (or `row_multiple` rows) longer than it.
      max_length: longest row in tokens.
      row_multiple: the number of rows is a multiple of it, such as of the devices.
    """

    token_budget: int
    max_length: int
    row_multiple: int = 1

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: a field is below 1.
        """
        check_at_least(self, 1, "token_budget", "max_length", "row_multiple")

    @property
    def lengths(self) -> tuple[int, ...]:
        """The row lengths: multiples of 4 up to 32, then in steps of 1/8 to 1/4."""
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
        raise _too_long(length, self.max_length)

    def full(self, length: int) -> int:
        """Return how many rows of a length the budget allows."""
        multiple = self.row_multiple
        return max(self.token_budget // length // multiple, 1) * multiple

    def num_rows(self, wanted: int, length: int) -> int:
        """Return the rows of a batch: those of a full one, or a half, a quarter, ….

        A small batch then has little padding, at the cost of a few more shapes.
        """
        rows = self.full(length)
        while rows // 2 >= wanted and rows // 2 % self.row_multiple == 0:
            rows //= 2
        return rows

    def plan(self, lengths: Sequence[int]) -> list[Batch]:
        """Divide rows into batches, the longest first.

        A budget that is too large for the memory thus fails in the first batch.

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
