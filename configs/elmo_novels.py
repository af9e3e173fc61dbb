# SPDX-License-Identifier: Apache-2.0
"""A biLM of 41 novels, measured on ten others.

Command: python -m train.prepare elmo_novels && python -m train.pretrain elmo_novels
  --workdir runs/elmo_novels (CONTEXTUAL_DATA names the folder of the novels)
Hardware: two cores of an EPYC without AVX-512.
Time: not measured yet on an idle machine.
Score: not measured yet.
"""

import os
from pathlib import Path

from elmo_jax.config import CharCnnConfig, ElmoConfig
from train.config import BilmPretraining
from train.data.config import WordData
from train.data.sources import TextSource
from train.optimizer import BertAdam

DATA = Path(os.environ.get("CONTEXTUAL_DATA", "../shared/data"))


def config() -> BilmPretraining:
    """Return a model small enough for two cores."""
    return BilmPretraining(
        model=ElmoConfig(
            char_cnn=CharCnnConfig(
                filters=((1, 16), (2, 32), (3, 64), (4, 64)), num_highways=1
            ),
            cell_dim=512,
            projection_dim=128,
            dropout_rate=0.0,
        ),
        data=WordData(
            source=TextSource(
                patterns=(str(DATA / "text_litbank_novels" / "*.txt"),), form="prose"
            ),
            directory=Path("data/novels_words"),
            source_directory=Path("data/novels"),
            vocab_size=30_000,
            held_out_every=5,
        ),
        batch_size=48,
        num_steps=7000,
        window=20,
        num_negatives=1024,
        restarts=True,
        optimizer=BertAdam(
            learning_rate=3e-3, warmup_steps=200, weight_decay=0.0, corrects_bias=True
        ),
        log_every=50,
        eval_every=1750,
        eval_batches=60,
        save_every=500,
    )
