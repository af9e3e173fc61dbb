# SPDX-License-Identifier: Apache-2.0
"""Accuracy of counted bigrams at the very tokens that a BERT's held-out figures are of.

    python -m benchmarks.masked_novels_baseline CONFIG

The batches are those on which `train.pretrain CONFIG` measures itself: the baselines
see what the model sees, masks and random pieces included, but only the two neighbours.
A document is one sequence, as the model's rows go over the ends of sentences.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import tyro

from benchmarks.masked_baselines import (
    BOUNDARY,
    UNKNOWN,
    TwoSidedBigram,
    unigram_accuracy,
)
from train.config import experiment_named
from train.families.bert.batches import MaskedLmRows
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.pieces import PieceStore
from train.families.bert.setup import held_out_rows


@dataclasses.dataclass(frozen=True)
class Command:
    """Print the accuracy of the most frequent piece and of the two-sided bigram."""

    config: Annotated[str, tyro.conf.Positional]
    """An experiment of configs/, prepared."""
    batches: int | None = None
    """Held-out batches; by default as many as the experiment measures."""


def main() -> None:
    """Fit on the training text, measure on the held-out batches."""
    command = tyro.cli(Command, description=__doc__)
    experiment = experiment_named(command.config)
    if not isinstance(experiment, MaskedLmPretraining):
        raise SystemExit(f"{command.config} is no masked language model")
    train, held_out = (
        PieceStore.open(experiment.data.directory / part)
        for part in ("train", "held_out")
    )
    if command.batches is not None:
        experiment = dataclasses.replace(experiment, eval_batches=command.batches)
    batches = held_out_rows(experiment, held_out)
    number = len(batches)
    parts = [_predicted(batches[i].rows, held_out) for i in range(number)]
    left, right, targets = (np.concatenate(part) for part in zip(*parts, strict=True))
    began = time.perf_counter()
    model = TwoSidedBigram.fit(_documents(train), len(train.continues))
    scores = model.evaluate(left, right, targets)
    seconds = time.perf_counter() - began
    frequent = unigram_accuracy(model.counts, targets)
    print(f"{len(targets):,} masked pieces of {number:,} batches; {seconds:.1f} s")
    print(f"most frequent piece: accuracy {frequent:.1%}")
    print(
        f"two-sided bigram: accuracy {scores.accuracy:.1%}, "
        f"loss {scores.log_loss:.3f} nats"
    )


def _documents(store: PieceStore) -> Iterator[np.ndarray]:
    bounds = store.sentence_starts[store.document_starts]
    for begin, end in itertools.pairwise(bounds.tolist()):
        yield np.asarray(store.tokens[begin:end], np.int64)


def _predicted(
    rows: MaskedLmRows, store: PieceStore
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the model sees left and right of each hidden piece, and the piece."""
    seen = rows.ids.astype(np.int64)
    seen[rows.ids == store.mask_id] = UNKNOWN
    seen[(rows.ids == store.cls_id) | (rows.ids == store.sep_id)] = BOUNDARY
    row, slot = np.nonzero(rows.weights)
    column = rows.predicted[row, slot]
    return seen[row, column - 1], seen[row, column + 1], rows.targets[row, slot]


if __name__ == "__main__":
    main()
