# SPDX-License-Identifier: Apache-2.0
"""How fast batches are made, on one core, and how many times what a step consumes.

    python -m benchmarks.loader

Random text of a natural shape: sentences of 5 to 45 words, words by Zipf's law. Batches
are made in the foreground, by the functions that training calls, and nothing else runs.
"""

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

import tyro

from benchmarks.random_text import random_piece_store, random_word_store
from train.families.bert.batches import MaskedLmBatches, MaskedLmConfig
from train.families.bert.pieces import PieceStore
from train.families.elmo.batches import BilmBatches
from train.families.elmo.words import WordStore


@dataclasses.dataclass(frozen=True)
class Command:
    """Measure how fast batches are made."""

    tokens: int = 2_000_000
    """Of the random text."""
    batches: int = 100
    """Measured of each kind."""


def main() -> None:
    """Print tokens a second of each kind of batch."""
    command = tyro.cli(Command, description=__doc__)
    os.sched_setaffinity(0, {0})
    words = random_word_store(command.tokens, vocab_size=30_000)
    pieces = random_piece_store(command.tokens, vocab_size=30_000)
    for name, make, tokens in _kinds(words, pieces):
        batches = make()
        batches[0]  # the plan of the first epoch
        began = time.perf_counter()
        for number in range(1, command.batches + 1):
            batches[number]
        seconds = (time.perf_counter() - began) / command.batches
        print(f"{name:40} {tokens / seconds:12,.0f} tokens/s")


def _kinds(
    words: WordStore, pieces: PieceStore
) -> list[tuple[str, Callable[[], Any], int]]:
    def bilm(negatives: int) -> Callable[[], Any]:
        return lambda: BilmBatches(
            words, batch_size=128, unroll_steps=20, num_negatives=negatives
        )

    def masked(**settings: Any) -> Callable[[], Any]:
        config = MaskedLmConfig(length=128, **settings)
        return lambda: MaskedLmBatches(pieces, config, batch_size=64)

    return [
        ("biLM, 128 x 20, 8,192 negatives", bilm(8192), 128 * 20),
        ("biLM, 128 x 20, no negatives", bilm(0), 128 * 20),
        ("MLM with NSP, 64 x 128", masked(), 64 * 128),
        ("MLM, packed", masked(pairs="none", packed=True), 64 * 128),
        ("MLM, whole words", masked(pairs="none", whole_words=True), 64 * 128),
    ]


if __name__ == "__main__":
    main()
