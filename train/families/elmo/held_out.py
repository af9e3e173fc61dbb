# SPDX-License-Identifier: Apache-2.0
"""Batches of the text that a biLM is measured on, each word of it once."""

import numpy as np
from jaxtyping import Float, Int

from train.families.elmo.batches import BilmBatches, lay_out
from train.families.elmo.words import WordStore


class HeldOutWindows(BilmBatches):
    """Batches of a text in its order, with the weight 1 where a word is measured.

    Which words are, does not depend on the rows of a batch. Nor do their losses, unless
    states are carried: then a row has another sentence before it.
    """

    def __init__(
        self,
        store: WordStore,
        *,
        batch_size: int,
        unroll_steps: int,
        widest_filter: int | None = 7,
        limit: tuple[int, int] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Plan the windows.

        Args:
          store: sentences as word types.
          batch_size: rows of the whole batch, over all hosts.
          unroll_steps: positions of a row in a batch.
          widest_filter: as of `BilmBatches`.
          limit: measures only the words of so many batches of so many rows, the first
            ones; None for all.
          share: this host's index and the number of hosts; it gets its share of rows.

        Raises:
          ValueError: the store is empty, or the rows are not a multiple of the hosts.
        """
        super().__init__(
            store,
            batch_size=batch_size,
            unroll_steps=unroll_steps,
            shuffled=False,
            widest_filter=widest_filter,
            share=share,
        )
        # Of each sentence, the first positions that count.
        self._counted = self._lengths.copy()
        if limit is not None:
            number, num_rows = limit
            order = np.arange(len(self._lengths))
            layout = lay_out(order, self._lengths, num_rows, unroll_steps)
            left = number * unroll_steps - layout.begins
            of = layout.sentences
            self._counted[of] = np.clip(left, 0, self._lengths[of])
        layout, _ = self.epochs.locate(0)
        counted = self._counted[layout.sentences]
        ends = np.where(counted > 0, layout.begins + counted, 0)
        self._num_batches = -(-int(ends.max()) // unroll_steps)

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._num_batches

    def _weights_of(
        self, sentence: Int[np.ndarray, " N"], place: Int[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        return (place < self._counted[sentence]).astype(np.float32)
