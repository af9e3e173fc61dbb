# SPDX-License-Identifier: Apache-2.0
"""Sentences laid end to end in rows, so that hardly a step works on padding.

An LSTM starts afresh wherever a sentence starts, so a row may hold any number of them.
Full rows of one length also mean one compiled shape for nearly all batches.
"""

import bisect
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from embed_jax.corpus.batching import BatchShapes


@dataclasses.dataclass(frozen=True)
class PackedBatch:
    """Sentences to be computed together.

    Attributes:
      indices: which sentences.
      places: for each its row and its first position there.
      lengths: for each its words.
      num_rows: rows of the compiled shape; the last ones may be empty.
      length: positions a row of the compiled shape.
    """

    indices: list[int]
    places: list[tuple[int, int]]
    lengths: list[int]
    num_rows: int
    length: int

    def split(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Yield each sentence's part of `[rows, positions, …]`."""
        for (row, start), length in zip(self.places, self.lengths, strict=True):
            yield values[row, start : start + length]


@dataclasses.dataclass(frozen=True)
class PackShapes:
    """The shapes that packed batches may have.

    Attributes:
      num_rows: rows of a full batch.
      length: positions a row of a full batch, unless a sentence is longer.
      max_length: a sentence of more words is a batch of its own, as long as it is.
      row_multiple: rows come in multiples of it, for so many devices.
      min_rows: rows that a batch of long sentences may have though they are more
        positions than `num_rows * length`: a step over few rows costs hardly less.
    """

    num_rows: int
    length: int
    max_length: int
    row_multiple: int = 1
    min_rows: int = 32

    def plan(self, lengths: Sequence[int]) -> list[PackedBatch]:
        """Put sentences into rows and rows into batches.

        First fit, the longest first: what is short fills what the long ones left.

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
        """Choose the shortest rows that hold everything, up to full batches'."""
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
        """Return a number of rows from a short ladder, at least what is wanted."""
        rows = BatchShapes(1, most).bucket(wanted)
        return -(-rows // self.row_multiple) * self.row_multiple


def plan_alone(
    lengths: Sequence[int], token_budget: int, max_length: int, row_multiple: int
) -> list[PackedBatch]:
    """Put each sentence into a row of its own, those of like length together."""
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
