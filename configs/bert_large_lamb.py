# SPDX-License-Identifier: Apache-2.0
"""BERT-large with large batches, in two phases (You et al. 2020): 336 M parameters.

7,038 steps of 65,536 rows of 128 tokens, the rate rising to 6e-3 in 2,000 of them; then
1,561 steps of 32,768 rows of 512 tokens, rising to 4e-3 in 200. In each phase the rate
falls with the root of the remaining steps.

Command: python -m train.prepare bert_large_lamb && python -m train.pretrain
  bert_large_lamb --workdir runs/bert_large_lamb (needs a TFDS data set wikipedia)
Hardware: published, 1024 TPUv3 chips. Not run by us; with fewer devices give
  grad-accum-steps and long-phase.grad-accum-steps, which save memory and cost time.
Time: published, 76 minutes; 8,599 steps.
Score: published, with the books that are missing here, 90.58 F1 on SQuAD 1.1 after
  fine-tuning.
"""

import dataclasses

from configs import bert_large
from train.families.bert.config import LongPhase, MaskedLmPretraining
from train.loop.optimizer import Lamb


def config() -> MaskedLmPretraining:
    """Return batches and steps of the paper, with the rates of NVIDIA's example.

    The paper has 8,599 steps in both phases together. The example has 7,038 in the
    first, as here, and 1,563 in the second, two more than are left here. Its PyTorch
    program counts steps from 1; its TensorFlow program and this one count from 0.
    """
    return dataclasses.replace(
        bert_large.config(),
        optimizer=Lamb(learning_rate=6e-3, warmup_steps=2000, decay_power=0.5),
        batch_size=65_536,
        num_steps=8599,
        long_phase=LongPhase(
            num_steps=1561,
            length=512,
            batch_size=32_768,
            learning_rate=4e-3,
            warmup_steps=200,
        ),
        eval_every=500,
        save_every=500,
    )
