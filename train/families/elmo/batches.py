# SPDX-License-Identifier: Apache-2.0
"""Batches of a biLM: contiguous rows of text, read forward and backward.

Sentences are laid out in rows as in bilm-tf: a row that runs out takes the next free
sentence, so that a row is a stream without gaps and the state can be carried. A batch
is computed from its number only.

Two differences from bilm-tf are deliberate. Both directions read the same sentences in
the same step, so that the characters of a batch's words are shared. And the last
windows of an epoch, which bilm-tf drops, are padded, so that every word is a target
exactly once an epoch in each direction.
"""

import dataclasses
import functools
import heapq
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN, PADDING, character_rows
from train.data.epochs import Epochs, random_stream
from train.data.ragged import write_out
from train.data.share import rows_of_host
from train.families.elmo.negatives import Negatives, draw_negatives
from train.families.elmo.words import WordStore

# Characters in a batch's rows are a multiple of this, so that few shapes are compiled.
CHARACTER_STEP = 4
BOUNDARIES = (BEGIN_TOKEN, END_TOKEN)

# What tells the random streams of one seed apart.
_SHUFFLE, _NEGATIVES = 1, 2


class BilmRows(NamedTuple):
    """The rows of a batch; the first axis is sharded over devices.

    Attributes:
      words: the inputs, indices into the batch's types, int32. Axis 1: forward,
        backward.
      targets: the words that follow, ids of the vocabulary, int32.
      weights: 1 at positions with a target, 0 where a row has run out.
      fresh: whether the row starts from the zero state instead of the carry.
    """

    words: Int[Any, "B 2 T"]
    targets: Int[Any, "B 2 T"]
    weights: Float[Any, "B 2 T"]
    fresh: Bool[Any, " B"]


class BilmBatch(NamedTuple):
    """The input of one training step.

    Attributes:
      rows: the text.
      types: the distinct words of the rows of all hosts, `<S>` and `</S>` first:
        characters `[U C]`, or rows of a word table `[U]`, int32.
      negatives: the negative samples of each direction; None for the full softmax.
      softmax_rows: the words whose softmax rows are in the weights, see
        `train.loop.sparse_rows`; None for all.
    """

    rows: BilmRows
    types: Shaped[Any, "U ..."]
    negatives: Negatives | None
    softmax_rows: Int[Any, " R"] | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """The positions of the sentences in the rows of an epoch.

    Attributes:
      sentences: indices of sentences, row after row, int64.
      rows: the row of each sentence, ascending.
      begins: start of each sentence within its row, in positions, int64.
      num_batches: batches until the longest row has run out.
    """

    sentences: Int[np.ndarray, " S"]
    rows: Int[np.ndarray, " S"]
    begins: Int[np.ndarray, " S"]
    num_batches: int

    @functools.cached_property
    def keys(self) -> Int[np.ndarray, " S"]:
        """Row and start of each sentence, combined to one ascending number."""
        return self.rows * self.stride + self.begins

    @functools.cached_property
    def stride(self) -> int:
        """A number greater than the positions of any row."""
        return int(self.begins.max(initial=0)) + 1


def lay_out(
    order: Int[np.ndarray, " S"],
    lengths: Int[np.ndarray, " S"],
    num_rows: int,
    unroll_steps: int,
) -> Layout:
    """Assign sentences to rows, as bilm-tf's reader does.

    In each window the rows are filled one after the other, and a row that has run out
    takes the next sentence.

    Args:
      order: sentences in the order in which they are taken.
      lengths: positions of each sentence, its boundary included.
      num_rows: rows of a batch.
      unroll_steps: positions of a row in a batch.

    Example:
      >>> layout = lay_out(np.arange(3), np.array([5, 2, 2]), 2, 4)
      >>> layout.sentences.tolist(), layout.begins.tolist(), layout.num_batches
      ([0, 1, 2], [0, 0, 2], 2)
    """
    row_of = np.empty(len(order), np.int64)
    begins = np.empty(len(order), np.int64)
    filled = [0] * num_rows
    free = [(0, row) for row in range(num_rows)]  # by the window that has a gap
    for index, length in enumerate(lengths[order].tolist()):
        row = free[0][1]
        row_of[index] = row
        begins[index] = filled[row]
        filled[row] += length
        heapq.heapreplace(free, (filled[row] // unroll_steps, row))
    by_row = np.argsort(row_of, kind="stable")
    return Layout(
        sentences=np.asarray(order, np.int64)[by_row],
        rows=row_of[by_row],
        begins=begins[by_row],
        num_batches=-(-max(filled) // unroll_steps),
    )


class BilmBatches:
    """Random access to batches: `batches[i]` depends on the seed and `i` only.

    Attributes:
      epochs: where each batch's epoch is planned.
      num_negatives: negative samples of each direction of a batch.
      num_targets: targets of an epoch in each direction, words and boundaries.
    """

    def __init__(
        self,
        store: WordStore,
        *,
        batch_size: int,
        unroll_steps: int,
        seed: int = 0,
        num_negatives: int = 0,
        shuffled: bool = True,
        widest_filter: int | None = 7,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Check the arguments; batches are made on access.

        Args:
          store: sentences as word types.
          batch_size: rows of the whole batch, over all hosts.
          unroll_steps: positions of a row in a batch.
          seed: of the order of sentences and of the negatives.
          num_negatives: negative samples of each direction; 0 for none.
          shuffled: whether to shuffle the sentences in every epoch.
          widest_filter: width of the widest convolution, 7 in the published models;
            None where types are rows of a word table.
          share: this host's index and the number of hosts; it gets its share of rows.

        Raises:
          ValueError: the store is empty, or the rows are not a multiple of the hosts.
        """
        self._share = rows_of_host(store, batch_size, share)
        self._store, self._widest_filter = store, widest_filter
        self._batch_size, self._unroll_steps = batch_size, unroll_steps
        self._seed, self._shuffled = seed, shuffled
        self.num_negatives = num_negatives
        self._rows = np.arange(batch_size)
        self._lengths = np.diff(store.sentence_starts) + 1
        self.epochs = Epochs(self._lay_out, alike=not shuffled)
        self.num_targets = int(self._lengths.sum())

    def __getitem__(self, number: int) -> BilmBatch:
        """Make the batch of a step."""
        layout, step = self.epochs.locate(number)
        # Of all rows, whatever the share: so all hosts have the same types, at the same
        # places, without telling each other.
        read, targets, weights = self._windows(layout, step)
        # The boundaries are types -2 and -1 in a window, so that they sort first.
        distinct, words = np.unique(
            np.concatenate([[-2, -1], read.ravel()]), return_inverse=True
        )
        negatives = None
        if self.num_negatives:
            rng = random_stream(self._seed, _NEGATIVES, number)
            vocab_size = len(self._store.vocabulary)
            negatives = draw_negatives(rng, self.num_negatives, vocab_size)
        return BilmBatch(
            rows=BilmRows(
                words=words[2:].reshape(read.shape)[self._share].astype(np.int32),
                targets=targets[self._share],
                weights=weights[self._share],
                fresh=np.full(len(self._rows), step == 0)[self._share],
            ),
            types=self._spell(distinct[2:]),
            negatives=negatives,
        )

    def epoch_end(self, epoch: int) -> int:
        """Return the number of the first batch after an epoch, counted from 0."""
        return self.epochs.end(epoch)

    def _lay_out(self, epoch: int) -> Layout:
        order = np.arange(len(self._lengths))
        if self._shuffled:
            order = random_stream(self._seed, _SHUFFLE, epoch).permutation(order)
        return lay_out(order, self._lengths, self._batch_size, self._unroll_steps)

    def _windows(
        self, layout: Layout, step: int
    ) -> tuple[
        Int[np.ndarray, "B 2 T"], Int[np.ndarray, "B 2 T"], Float[np.ndarray, "B 2 T"]
    ]:
        """Return input types (-2 for `<S>`, -1 for `</S>`), targets and weights."""
        store = self._store
        row, column, sentence, place = self._places(layout, step)
        first = store.sentence_starts[sentence]
        length = self._lengths[sentence] - 1  # in words
        shape = len(self._rows), 2, self._unroll_steps
        read = np.full(shape, -2, np.int64)
        read[:, 1] = -1
        targets = np.zeros(shape, np.int32)
        weights = np.zeros(shape, np.float32)
        weights[row, :, column] = self._weights_of(sentence, place)[:, None]
        begins, ends = place == 0, place == length
        # Position k of a sentence reads its word k and predicts word k + 1; word 0 is
        # the boundary before it, and the one after the last that behind it. Backward
        # the same holds from the other end.
        forward, backward = first + place, first + length - 1 - place
        for direction, (ahead, step_back, begin, end) in enumerate(
            (
                (forward, -1, -2, store.vocabulary.end_id),
                (backward, 1, -1, store.vocabulary.begin_id),
            )
        ):
            behind = np.where(begins, 0, ahead + step_back)
            words = store.tokens[behind].astype(np.int64)
            read[row, direction, column] = np.where(begins, begin, words)
            ahead = np.where(ends, 0, ahead)
            follows = store.targets[store.tokens[ahead]]
            targets[row, direction, column] = np.where(ends, end, follows)
        return read, targets, weights

    def _weights_of(
        self, sentence: Int[np.ndarray, " N"], place: Int[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        """Return the weight of each place of a sentence, counted from 0."""
        del sentence
        return np.ones(len(place), np.float32)

    def _places(
        self, layout: Layout, step: int
    ) -> tuple[
        Int[np.ndarray, " N"],
        Int[np.ndarray, " N"],
        Int[np.ndarray, " N"],
        Int[np.ndarray, " N"],
    ]:
        """Return row, column, sentence and index in it of each real position."""
        begin, end = step * self._unroll_steps, (step + 1) * self._unroll_steps
        keys, stride = layout.keys, layout.stride
        row_starts = np.searchsorted(layout.rows, [self._rows, self._rows + 1])
        # A row that has run out has no beginning after `begin`; its last sentence is
        # looked at and found to end before.
        lower = np.searchsorted(
            keys, self._rows * stride + min(begin, stride - 1), "right"
        )
        upper = np.searchsorted(keys, self._rows * stride + min(end, stride), "left")
        lower = np.maximum(lower - 1, row_starts[0])
        upper = np.minimum(upper, row_starts[1])
        row, _, entry = write_out(lower, np.maximum(upper - lower, 0))
        sentence, starts = layout.sentences[entry], layout.begins[entry]
        low = np.maximum(starts, begin)
        high = np.minimum(starts + self._lengths[sentence], end)
        of, _, position = write_out(low, np.maximum(high - low, 0))
        return row[of], position - begin, sentence[of], position - starts[of]

    def _spell(self, words: Int[np.ndarray, " W"]) -> Shaped[np.ndarray, "U ..."]:
        """Return the model's input for the boundaries and some types, padded."""
        store = self._store
        size = round_up(2 + len(words))
        if self._widest_filter is None:
            rows = np.zeros(size, np.int32)
            rows[:2] = store.vocabulary.begin_id, store.vocabulary.end_id
            rows[2 : 2 + len(words)] = store.targets[words]
            return rows
        characters = store.characters[words]
        used = np.count_nonzero(characters != PADDING, axis=1).max(initial=3)
        # As in `elmo_jax.characters.sufficient_length`: beyond the longest word and the
        # widest filter nothing changes. Few lengths, so that few shapes are compiled.
        steps = -(-(int(used) + self._widest_filter) // CHARACTER_STEP)
        length = min(steps * CHARACTER_STEP, characters.shape[1])
        types = np.zeros((size, length), np.int32)
        types[:2] = character_rows(BOUNDARIES, characters.shape[1], length)
        types[2 : 2 + len(words)] = characters[:, :length]
        return types


def round_up(number: int) -> int:
    """Return the number of types to pad to, one of eight sizes in every doubling.

    Example:
      >>> [round_up(n) for n in (3, 129, 520, 1025)]
      [128, 256, 640, 1152]
    """
    step = max(128, 1 << max(number.bit_length() - 4, 0))
    return -(-number // step) * step
