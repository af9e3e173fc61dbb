# SPDX-License-Identifier: Apache-2.0
"""Sentence polarity, the source of SST-2, by fine-tuning a BERT.

Command: python -m train.finetune finetune_polarity --model MODEL
  --data sentence_polarity.zip --output DIR
Hardware: two cores will do for a model of six blocks.
Time: all-MiniLM-L6-v2, four minutes an epoch.
Score: all-MiniLM-L6-v2, test accuracy 84.1 after two epochs; docs/results/README.md.
"""

from train.tasks.finetune.finetuning import Finetuning


def config() -> Finetuning:
    """Return one point of the published grid, whose learning rates are 2e-5 to 5e-5.

    80 % of the texts are training data, 5 % dev, 15 % test.
    """
    return Finetuning(
        task="sequence", batch_size=32, num_epochs=3, learning_rate=3e-5, max_length=128
    )
