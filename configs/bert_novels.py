# SPDX-License-Identifier: Apache-2.0
"""A BERT of 41 novels, measured on ten others.

Command: python -m train.prepare bert_novels && python -m train.pretrain bert_novels
  --workdir runs/bert_novels (CONTEXTUAL_DATA names the folder of the novels)
Hardware: two cores of an EPYC without AVX-512.
Time: not measured yet on an idle machine.
Score: not measured yet.
"""

from pathlib import Path

from bert_jax.config import BertConfig
from configs.elmo_novels import DATA
from train.config import MaskedLmPretraining
from train.data.config import PieceData
from train.data.masked_lm_batches import MaskedLmConfig
from train.data.sources import TextSource
from train.optimizer import BertAdam


def config() -> MaskedLmPretraining:
    """Return a model small enough for two cores; see bert_tiny for why so."""
    return MaskedLmPretraining(
        model=BertConfig(
            num_blocks=4,
            num_heads=4,
            layer_dim=128,
            mlp_dim=512,
            max_positions=128,
            dropout_rate=0.0,
            attention_dropout_rate=0.0,
            init_std=0.08,
        ),
        data=PieceData(
            source=TextSource(
                patterns=(str(DATA / "text_litbank_novels" / "*.txt"),), form="prose"
            ),
            directory=Path("data/novels_pieces"),
            source_directory=Path("data/novels"),
            vocab_size=8000,
            held_out_every=5,
        ),
        objective=MaskedLmConfig(
            pairs="none", length=64, packed=True, masking_rate=0.3
        ),
        optimizer=BertAdam(learning_rate=2e-3, warmup_steps=300, corrects_bias=True),
        batch_size=32,
        num_steps=9000,
        log_every=50,
        eval_every=3000,
        eval_batches=50,
        save_every=500,
    )
