# SPDX-License-Identifier: Apache-2.0
"""Batches of the text that a BERT is measured on, each row of it once.

What is hidden of a row depends on the row alone. So figures and counts are the same
whatever the batch size, the devices and the hosts.
"""

import dataclasses

import numpy as np

from train.data.epochs import random_stream
from train.families.bert.batches import (
    EVALUATION_RATE,
    MASKS,
    Draws,
    MaskedLmBatch,
    MaskedLmBatches,
    MaskedLmConfig,
)
from train.families.bert.pieces import PieceStore

# The same for all runs, or their figures could not be compared.
HELD_OUT_SEED = 0


class HeldOutRows(MaskedLmBatches):
    """Batches of all rows of a text in order, 15 % of the tokens masked.

    Attributes:
      num_rows: the rows that are measured. What fills the last batch up has weight 0.
    """

    def __init__(
        self,
        store: PieceStore,
        config: MaskedLmConfig,
        *,
        batch_size: int,
        max_rows: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Plan the rows.

        Args:
          store: sentences as word pieces.
          config: the settings of rows.
          batch_size: rows of the whole batch, over all hosts.
          max_rows: measures only so many, the first ones; None for all.
          share: this host's index and the number of hosts; it gets its share of rows.

        Raises:
          ValueError: the store is empty, or the rows are not a multiple of the hosts.
        """
        super().__init__(
            store,
            # No more room for predictions than this rate takes.
            dataclasses.replace(config, masking_rate=EVALUATION_RATE),
            batch_size=batch_size,
            seed=HELD_OUT_SEED,
            shuffled=False,
            share=share,
        )
        plan, _ = self.epochs.locate(0)
        held = len(plan.row_starts) - 1
        self.num_rows = held if max_rows is None else min(held, max_rows)

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self.num_rows // self._batch_size)

    def __getitem__(self, number: int) -> MaskedLmBatch:
        """Make a batch."""
        plan, _ = self.epochs.locate(0)
        first = number * self._batch_size
        row_numbers = np.arange(first, first + self._batch_size)[self._share]
        is_real = row_numbers < self.num_rows
        row_numbers = np.where(is_real, row_numbers, 0)
        rows = self._assemble(plan, row_numbers, self._draws_of(row_numbers))
        counts = is_real[:, None].astype(np.float32)
        return MaskedLmBatch(
            rows._replace(
                weights=rows.weights * counts,
                label_weights=rows.label_weights * counts,
            )
        )

    def _draws_of(self, row_numbers: np.ndarray) -> Draws:
        each = [
            self._draw(random_stream(HELD_OUT_SEED, MASKS, number), 1)
            for number in row_numbers.tolist()
        ]
        return Draws(*map(np.concatenate, zip(*each, strict=True)))
