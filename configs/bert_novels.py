# SPDX-License-Identifier: Apache-2.0
"""A BERT of 41 novels, measured on ten others.

Command: python -m train.prepare bert_novels && python -m train.pretrain bert_novels
  --workdir runs/bert_novels (CONTEXTUAL_DATA names the folder of the novels)
Hardware: two cores of an EPYC without AVX-512.
Time: 35 minutes with huge pages, see benchmarks/RESULTS.md.
Score: 30.0 % of the hidden pieces (two-sided bigram: 24.5 %); docs/novels.md.
"""

import dataclasses
from pathlib import Path

from configs import bert_tiny
from configs.elmo_novels import SOURCE
from train.families.bert.config import MaskedLmPretraining


def config() -> MaskedLmPretraining:
    """Return a model small enough for two cores; see bert_tiny for the reasons."""
    tiny = bert_tiny.config()
    return dataclasses.replace(
        tiny,
        model=dataclasses.replace(tiny.model, num_blocks=4, num_heads=4),
        data=dataclasses.replace(
            tiny.data,
            source=SOURCE,
            directory=Path("data/novels_pieces"),
            source_directory=Path("data/novels"),
            held_out_every=5,
        ),
        optimizer=dataclasses.replace(tiny.optimizer, warmup_steps=300),
        num_steps=10_000,
        eval_every=1250,
        eval_batches=50,
        save_every=500,
    )
