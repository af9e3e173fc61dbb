# SPDX-License-Identifier: Apache-2.0
"""Sentence polarity by a linear classifier on the mean of a biLM's word vectors.

Command: python -m train.finetune finetune_elmo_polarity --model MODEL
  --data sentence_polarity.zip --output DIR
Hardware: two cores will do for a biLM of 14 M weights.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from configs import finetune_elmo_ner
from train.tasks.finetune.finetuning import Finetuning


def config() -> Finetuning:
    """Return the configuration of finetune_elmo_ner, for texts."""
    return dataclasses.replace(finetune_elmo_ner.config(), task="sequence")
