# SPDX-License-Identifier: Apache-2.0
"""Batches for masked language modelling, each a function of the seed and its number."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from embed_jax.checks import check_at_least, check_fields
from train.data.epochs import Epochs, random_stream
from train.data.packing import pack
from train.data.ragged import write_out
from train.data.share import rows_of_host
from train.families.bert import masking
from train.families.bert.instances import Instances, Pairs, ShortFor, cut
from train.families.bert.pieces import PieceStore

# Held-out text is always masked at this rate, or accuracies could not be compared.
EVALUATION_RATE = 0.15

# What tells the random streams of one seed apart.
_PLAN, MASKS = 3, 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedLmConfig:
    """The settings of batches for masked language modelling.

    Attributes:
      pairs: nsp, next-sentence prediction as published; sop, sentence-order prediction;
        none, whole sentences of one document.
      length: tokens of a row.
      masking_rate: share of tokens that are predicted in training. Held-out text is
        always masked at 0.15.
      whole_words: whether all pieces of a word are masked together.
      short_rate: share of documents, or of chunks, that are cut to a random shorter
        length.
      short_for: what such a length is drawn for: document, for all chunks of a document
        as published, or chunk, for each.
      packed: whether a row holds several instances, each attending only to itself, or
        one instance and padding.
      max_instances: maximal instances of a packed row.
    """

    pairs: Pairs = "nsp"
    length: int = 128
    masking_rate: float = 0.15
    whole_words: bool = False
    short_rate: float = 0.1
    short_for: ShortFor = dataclasses.field(
        default="document", metadata={"formerly": "chunk"}
    )
    packed: bool = False
    max_instances: int = 8

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        if self.length < 8:
            raise ValueError(f"length must be at least 8 tokens, not {self.length}")
        if not 0 < self.masking_rate < 1:
            raise ValueError(
                f"masking_rate must be between 0 and 1, not {self.masking_rate}"
            )
        if not 0 <= self.short_rate <= 1:
            raise ValueError(
                f"short_rate must be between 0 and 1, not {self.short_rate}"
            )
        check_at_least(self, 1, "max_instances")

    @property
    def num_instances(self) -> int:
        """Maximal number of instances of a row."""
        return self.max_instances if self.packed else 1

    @property
    def max_predictions(self) -> int:
        """M: 20 for a row of 128, as published; 77 for one of 512; more if packed."""
        rate = max(self.masking_rate, EVALUATION_RATE)
        return int(np.ceil(self.length * rate)) + self.num_instances - 1


class MaskedLmRows(NamedTuple):
    """A batch's rows; every axis of size B is sharded over devices.

    Attributes:
      ids: pieces, some of them masked, int32.
      segment_ids: 1 in second passages, int32.
      sequences: the instance of each token in its row, from 1; 0 at padding, int32.
      positions: of each token in its instance, int32.
      predicted: positions in the row of the tokens to predict, int32.
      targets: the original pieces at these positions, int32.
      weights: 1 at these positions, 0 for the rest of M.
      heads: position of each instance's `[CLS]` in the row, int32.
      labels: 1 where the second passage does not follow the first, int32.
      label_weights: 1 where an instance has a label.
    """

    ids: Int[Any, "B T"]
    segment_ids: Int[Any, "B T"]
    sequences: Int[Any, "B T"]
    positions: Int[Any, "B T"]
    predicted: Int[Any, "B M"]
    targets: Int[Any, "B M"]
    weights: Float[Any, "B M"]
    heads: Int[Any, "B I"]
    labels: Int[Any, "B I"]
    label_weights: Float[Any, "B I"]


class MaskedLmBatch(NamedTuple):
    """The input of one training step."""

    rows: MaskedLmRows


@dataclasses.dataclass(frozen=True)
class Rows:
    """The plan of an epoch: the instances of each row.

    Attributes:
      instances: sorted by row.
      row_starts: index of the first instance of each row, and the number of instances.
      batch_size: rows of a batch. The last batch is filled up with the first rows.
    """

    instances: Instances
    row_starts: Int[np.ndarray, " rows"]
    batch_size: int

    @property
    def num_batches(self) -> int:
        """Number of batches of the epoch."""
        return -(-(len(self.row_starts) - 1) // self.batch_size)


class Draws(NamedTuple):
    """The random numbers that mask a batch's rows, see `train.families.bert.masking`.

    Attributes:
      keys: for the choice of tokens.
      coins: for the choice of what replaces each.
      random_ids: random pieces.
    """

    keys: Float[np.ndarray, "B T"]
    coins: Float[np.ndarray, "B T"]
    random_ids: Int[np.ndarray, "B T"]


class MaskedLmBatches:
    """Random access to batches: `batches[i]` depends on the seed and `i` only.

    Attributes:
      epochs: where each batch's epoch is planned.
    """

    def __init__(
        self,
        store: PieceStore,
        config: MaskedLmConfig,
        *,
        batch_size: int,
        seed: int = 0,
        shuffled: bool = True,
        masking_rate: float | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Check the arguments; batches are made on access.

        Args:
          store: sentences as word pieces.
          config: the settings of batches.
          batch_size: rows of the whole batch, over all hosts.
          seed: of instances, their order and the masks.
          shuffled: whether to shuffle documents and rows in every epoch.
          masking_rate: instead of the one in `config`.
          share: this host's index and the number of hosts; it gets its share of rows.

        Raises:
          ValueError: the store is empty, or the rows are not a multiple of the hosts.
        """
        self._share = rows_of_host(store, batch_size, share)
        self._store, self._config = store, config
        self._batch_size, self._seed, self._shuffled = batch_size, seed, shuffled
        self._rate = config.masking_rate if masking_rate is None else masking_rate
        self.epochs = Epochs(self._plan, alike=not shuffled)

    def __getitem__(self, number: int) -> MaskedLmBatch:
        """Make the batch of a step."""
        plan, step = self.epochs.locate(number)
        first = step * self._batch_size
        row_numbers = np.arange(first, first + self._batch_size)[self._share]
        row_numbers = row_numbers % (len(plan.row_starts) - 1)
        # Not by epoch: the same plan is masked in another way each time it comes.
        rng = random_stream(self._seed, MASKS, number)
        # For the whole batch, so that a row's masks do not depend on which host has it.
        drawn = self._draw(rng, self._batch_size)
        draws = Draws(*(of_rows[self._share] for of_rows in drawn))
        return MaskedLmBatch(self._assemble(plan, row_numbers, draws))

    def epoch_end(self, epoch: int) -> int:
        """Return the number of the first batch after an epoch, counted from 0."""
        return self.epochs.end(epoch)

    def _plan(self, epoch: int) -> Rows:
        config = self._config
        rng = random_stream(self._seed, _PLAN, epoch)
        documents = np.arange(self._store.num_documents)
        if self._shuffled:
            documents = rng.permutation(documents)
        instances = cut(
            self._store,
            rng,
            pairs=config.pairs,
            length=config.length,
            short_rate=config.short_rate,
            short_for=config.short_for,
            documents=documents,
        )
        if self._shuffled:
            instances = instances.take(rng.permutation(len(instances.labels)))
        rows = np.arange(len(instances.labels))
        if config.packed:
            rows = pack(instances.lengths, config.length, config.max_instances)
        by_row = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[by_row], np.arange(rows.max() + 2))
        return Rows(instances.take(by_row), starts, self._batch_size)

    def _assemble(
        self, plan: Rows, row_numbers: Int[np.ndarray, " B"], draws: Draws
    ) -> MaskedLmRows:
        """Make rows of their instances, and mask some of the tokens."""
        config, store = self._config, self._store
        shape = len(row_numbers), config.length
        starts = plan.row_starts[row_numbers]
        counts = plan.row_starts[row_numbers + 1] - starts
        row, place, index = write_out(starts, counts)
        chosen = plan.instances.take(index)
        lengths = chosen.lengths
        before = np.cumsum(lengths) - lengths
        offsets = before - before[np.cumsum(counts) - counts][row]

        ids = np.full(shape, store.pad_id, np.int32)
        segment_ids = np.zeros(shape, np.int32)
        sequences = np.zeros(shape, np.int32)
        positions = np.zeros(shape, np.int32)
        candidates = np.zeros(shape, bool)
        of, position, _ = write_out(offsets, lengths)
        at = row[of], offsets[of] + position
        sequences[at], positions[at] = place[of] + 1, position

        first_end = offsets + 1 + chosen.first[:, 1]
        second_end = first_end + 1 + chosen.second[:, 1]
        has_second = chosen.second[:, 1] > 0
        ids[row, offsets] = store.cls_id
        ids[row, first_end] = store.sep_id
        ids[row[has_second], second_end[has_second]] = store.sep_id
        segment_ids[row[has_second], second_end[has_second]] = 1
        for passage, begins, segment in (
            (chosen.first, offsets + 1, 0),
            (chosen.second, first_end + 1, 1),
        ):
            of, position, token = write_out(passage[:, 0], passage[:, 1])
            at = row[of], begins[of] + position
            ids[at], segment_ids[at] = store.tokens[token], segment
            candidates[at] = True

        heads = np.zeros((len(row_numbers), config.num_instances), np.int32)
        labels, label_weights = np.zeros_like(heads), np.zeros(heads.shape, np.float32)
        heads[row, place] = offsets
        labels[row, place] = np.maximum(chosen.labels, 0)
        label_weights[row, place] = chosen.labels >= 0
        masked = self._mask(ids, sequences, candidates, draws)
        return MaskedLmRows(
            ids=masked.ids,
            segment_ids=segment_ids,
            sequences=sequences,
            positions=positions,
            predicted=masked.positions,
            targets=masked.targets,
            weights=masked.weights,
            heads=heads,
            labels=labels,
            label_weights=label_weights,
        )

    def _mask(
        self,
        ids: Int[np.ndarray, "B T"],
        sequences: Int[np.ndarray, "B T"],
        candidates: Bool[np.ndarray, "B T"],
        draws: Draws,
    ) -> masking.Masked:
        continues = self._store.continues[ids] if self._config.whole_words else None
        chosen = masking.choose(
            sequences, candidates, continues, self._rate, draws.keys
        )
        return masking.mask(
            ids,
            chosen,
            self._store.mask_id,
            len(self._store.continues),
            self._config.max_predictions,
            draws.coins,
            draws.random_ids,
        )

    def _draw(self, rng: np.random.Generator, num_rows: int) -> Draws:
        """Draw the random numbers that mask some rows."""
        shape = num_rows, self._config.length
        return Draws(
            keys=rng.random(shape, np.float32),
            coins=rng.random(shape, np.float32),
            random_ids=rng.integers(
                len(self._store.continues), size=shape, dtype=np.int32
            ),
        )
