# SPDX-License-Identifier: Apache-2.0
"""Named entities by fine-tuning a BERT (Devlin et al. 2019, section 5.3).

Command: python -m train.finetune finetune_ner --model MODEL --data DATA --output DIR
Hardware: two cores will do for a model of six blocks.
Time: all-MiniLM-L6-v2, WNUT-17, 8 minutes.
Score: published, CoNLL-2003, BERT-base: dev F1 96.4, test F1 92.4, the best of a grid,
  with --context document and cased pieces. Ours, all-MiniLM-L6-v2: WNUT-17 test F1
  41.5, BTC 74.9.
"""

from train.tasks.finetune.finetuning import Finetuning


def config() -> Finetuning:
    """Return one point of the published grid; try learning rates 2e-5 and 3e-5 too."""
    return Finetuning(
        task="token", batch_size=32, num_epochs=4, learning_rate=5e-5, max_length=128
    )
