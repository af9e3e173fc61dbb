# SPDX-License-Identifier: Apache-2.0
"""Named entities by a linear classifier on the learnt mix of a biLM's layers.

Command: python -m train.finetune finetune_elmo_ner --model MODEL --data DATA
  --output DIR (--frozen-steps 500 lets the biLM learn too from then on)
Hardware: two cores will do for a biLM of 14 M weights.
Time: not measured yet.
Score: not measured yet.
"""

from train.tasks.finetune.finetuning import Finetuning


def config() -> Finetuning:
    """Return a frozen biLM with mix(all); if trained, at a tenth of the head's rate."""
    return Finetuning(
        task="token",
        num_epochs=10,
        learning_rate=5e-3,
        encoder_learning_rate=5e-4,
        frozen_steps=None,
        recipe="transformers",
        patience=3,
    )
