# SPDX-License-Identifier: Apache-2.0
"""A biLM of 41 novels, measured on ten others.

Command: python -m train.prepare elmo_novels && python -m train.pretrain elmo_novels
  --workdir runs/elmo_novels (CONTEXTUAL_DATA names the folder of the novels)
Hardware: two cores of an EPYC without AVX-512.
Time: 34 minutes with huge pages, see benchmarks/RESULTS.md.
Score: held-out perplexity 103.9 forward, 104.8 backward
  (Kneser-Ney trigram: 143.6 and 143.5); docs/novels.md.
"""

import dataclasses
import os
from pathlib import Path

from configs import elmo_tiny
from elmo_jax.config import CharCnnConfig
from train.data.sources import TextSource
from train.families.elmo.config import BilmPretraining

NOVELS = Path(
    os.environ.get("CONTEXTUAL_DATA", "../shared/data"), "text_litbank_novels"
)
SOURCE = TextSource(patterns=(str(NOVELS / "*.txt"),), form="prose")


def config() -> BilmPretraining:
    """Return a model small enough for two cores."""
    tiny = elmo_tiny.config()
    return dataclasses.replace(
        tiny,
        model=dataclasses.replace(
            tiny.model,
            char_cnn=CharCnnConfig(
                filters=((1, 16), (2, 32), (3, 64), (4, 64)), num_highways=1
            ),
            cell_dim=512,
            projection_dim=128,
        ),
        data=dataclasses.replace(
            tiny.data,
            source=SOURCE,
            directory=Path("data/novels_words"),
            source_directory=Path("data/novels"),
            vocab_size=30_000,
            held_out_every=5,
        ),
        optimizer=dataclasses.replace(
            tiny.optimizer, learning_rate=3e-3, warmup_steps=200
        ),
        batch_size=48,
        num_steps=5000,
        eval_every=1250,
        eval_batches=60,
        save_every=500,
    )
