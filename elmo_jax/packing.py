# SPDX-License-Identifier: Apache-2.0
"""Packing of sentences end to end into rows, with little padding.

The LSTM state is reset where a sentence starts, so a row may hold any number of them.
Full rows of one length also give one compiled shape for nearly all batches.
"""

import bisect
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from embed_jax.corpus.batching import BatchShapes


@dataclasses.dataclass(frozen=True)
class PackedBatch:
    """Sentences that are computed together.

    Attributes:
      indices: of the sentences.
      places: for each sentence its row and its first position there.
      lengths: for each sentence its number of words.
      num_rows: rows of the compiled shape; the last ones may be empty.
      length: positions a row of the compiled shape.
    """

    indices: list[int]
    places: list[tuple[int, int]]
    lengths: list[int]
    num_rows: int
    length: int

    def split(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Yield each sentence's part of an array `[rows, positions, …]`."""
        for (row, start), length in zip(self.places, self.lengths, strict=True):
            yield values[row, start : start + length]


@dataclasses.dataclass(frozen=True)
class PackShapes:
    """The shapes that packed batches may have.

    Attributes:
      num_rows: rows of a full batch.
      length: positions a row of a full batch, unless a sentence is longer.
      max_length: a sentence of more words is a batch of its own, of its own length.
      row_multiple: the number of rows is a multiple of it, such as of the devices.
      min_rows: rows that a batch of long sentences may have even if it then exceeds
        `num_rows * length` positions: fewer rows are hardly faster.
    """

    num_rows: int
    length: int
    max_length: int
    row_multiple: int = 1
    min_rows: int = 32

    def plan(self, lengths: Sequence[int]) -> list[PackedBatch]:
        """Pack sentences into rows and rows into batches.

        First fit decreasing: short sentences fill the space that long ones leave.

        Args:
          lengths: of each sentence, in words, none of them 0.

        Returns:
          Batches that hold every index once, those with the longest sentences first.

        Example:
          >>> shapes = PackShapes(num_rows=2, length=8, max_length=100)
          >>> for batch in shapes.plan([5, 3, 8, 6]):
          ...     print(batch.indices, batch.places, batch.num_rows, batch.length)
          [2, 3] [(0, 0), (1, 0)] 2 8
          [0, 1] [(0, 0), (0, 5)] 2 8
        """
        order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        batches = []
        while order and lengths[order[0]] > self.max_length:
            index = order.pop(0)
            length = lengths[index]
            batches.append(PackedBatch([index], [(0, 0)], [length], 1, length))
        total = sum(lengths[index] for index in order)
        while order:
            longest = lengths[order[0]]
            batch, order = self._fill(lengths, order, self._length(longest, total))
            total -= sum(batch.lengths)
            batches.append(batch)
        return batches

    def _length(self, longest: int, total: int) -> int:
        """Choose the shortest row length that holds all words, up to the full one."""
        even = min(-(-total // self.num_rows), self.length)
        ladder = BatchShapes(1, max(self.max_length, self.length))
        return ladder.bucket(max(longest, even))

    def _fill(
        self, lengths: Sequence[int], order: list[int], length: int
    ) -> tuple[PackedBatch, list[int]]:
        """Fill the rows of one batch; return it and the sentences left over."""
        multiple = self.row_multiple
        by_budget = self.num_rows * min(self.length, length) // length
        most = min(max(by_budget, self.min_rows), self.num_rows)
        most = max(most // multiple, 1) * multiple
        rows: list[int] = []  # how far each is filled
        # The rows by the room they have: the fullest one that still fits is taken.
        room: list[tuple[int, int]] = []
        indices, places, rest = [], [], []
        for index in order:
            need = lengths[index]
            found = bisect.bisect_left(room, (need, 0))
            if found < len(room):
                left, row = room.pop(found)
            elif len(rows) < most:
                left, row = length, len(rows)
                rows.append(0)
            else:
                rest.append(index)
                continue
            indices.append(index)
            places.append((row, rows[row]))
            rows[row] += need
            bisect.insort(room, (left - need, row))
        batch = PackedBatch(
            indices=indices,
            places=places,
            lengths=[lengths[index] for index in indices],
            num_rows=self._num_rows(len(rows), most),
            length=length,
        )
        return batch, rest

    def _num_rows(self, wanted: int, most: int) -> int:
        """Return one of few numbers of rows, at least `wanted`."""
        rows = BatchShapes(1, most).bucket(wanted)
        return -(-rows // self.row_multiple) * self.row_multiple


def plan_alone(
    lengths: Sequence[int], token_budget: int, max_length: int, row_multiple: int
) -> list[PackedBatch]:
    """Plan batches with one sentence a row, sorted by length."""
    shapes = BatchShapes(token_budget, max_length, row_multiple)
    return [
        PackedBatch(
            indices=batch.indices,
            places=[(row, 0) for row in range(len(batch.indices))],
            lengths=[lengths[index] for index in batch.indices],
            num_rows=batch.num_rows,
            length=batch.length,
        )
        for batch in shapes.plan(lengths)
    ]
