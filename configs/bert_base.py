# SPDX-License-Identifier: Apache-2.0
"""BERT-base, uncased (Devlin et al. 2019): 110 M parameters.

Command: python -m train.prepare bert_base && python -m train.pretrain bert_base
  --workdir runs/bert_base (needs a TFDS data set wikipedia)
Hardware: published, 16 TPU chips. Not run by us.
Time: published, four days; one million steps, nine tenths of them at length 128 and the
  rest at 512.
Score: published, with the books that are missing here, held-out masked perplexity 3.99.
"""

from pathlib import Path

from bert_jax.config import BertConfig
from train.data.sources import TfdsSource
from train.families.bert.batches import MaskedLmConfig
from train.families.bert.config import LongPhase, MaskedLmPretraining
from train.families.bert.data import PieceData
from train.loop.optimizer import BertAdam


def config() -> MaskedLmPretraining:
    """Return the published configuration; the text is only Wikipedia of June 2023.

    The published models were also trained on the BooksCorpus.
    """
    return MaskedLmPretraining(
        model=BertConfig(),
        data=PieceData(
            source=TfdsSource(name="wikipedia/20230601.en", form="prose"),
            directory=Path("data/wikipedia_pieces"),
            vocab_size=30_522,
            held_out_every=1000,
        ),
        objective=MaskedLmConfig(pairs="nsp", length=128),
        optimizer=BertAdam(learning_rate=1e-4, warmup_steps=10_000),
        batch_size=256,
        num_steps=1_000_000,
        long_phase=LongPhase(num_steps=100_000),
        eval_every=10_000,
        eval_batches=100,
        save_every=5000,
    )
