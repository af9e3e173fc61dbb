# SPDX-License-Identifier: Apache-2.0
"""A biLM that learns a little on any machine, from the embedded corpus of docstrings.

Command: python -m train.prepare elmo_tiny && python -m train.pretrain elmo_tiny
  --workdir runs/elmo_tiny
Hardware: two cores of an EPYC without AVX-512.
Time: 4 minutes and a half, half of them beside another job.
Score: held-out perplexity 145.6 forward, 134.4 backward, on one machine's docstrings.
"""

from pathlib import Path

from elmo_jax.config import CharCnnConfig, ElmoConfig
from train.data.sources import DocstringSource
from train.families.elmo.config import BilmPretraining
from train.families.elmo.data import WordData
from train.loop.optimizer import BertAdam


def config() -> BilmPretraining:
    """Return a small model, and Adam, which needs fewer steps than Adagrad."""
    return BilmPretraining(
        model=ElmoConfig(
            char_cnn=CharCnnConfig(
                filters=((1, 16), (2, 16), (3, 32), (4, 64)), num_highways=1
            ),
            cell_dim=256,
            projection_dim=64,
            dropout_rate=0.0,
        ),
        data=WordData(
            source=DocstringSource(),
            directory=Path("data/docstrings_words"),
            source_directory=Path("data/docstrings"),
            vocab_size=20_000,
        ),
        batch_size=32,
        num_steps=800,
        unroll_steps=20,
        num_negatives=1024,
        reset_state=True,
        optimizer=BertAdam(
            learning_rate=4e-3, warmup_steps=50, weight_decay=0.0, corrects_bias=True
        ),
        log_every=50,
        eval_every=400,
        eval_batches=40,
        save_every=300,
    )
