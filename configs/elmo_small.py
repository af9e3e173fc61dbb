# SPDX-License-Identifier: Apache-2.0
"""The biLM released as "small" in 2018: 13.6 M parameters and the softmax.

Command: python -m train.prepare elmo_small && python -m train.pretrain elmo_small
  --workdir runs/elmo_small (needs the TFDS data set lm1b)
Hardware: not published. Not run by us.
Time: published, 1,501,260 steps: fifteen epochs of 100,084, if a step has the three
  times 128 rows of the original.
Score: not published as a perplexity; SRL F1 83.62.
"""

import dataclasses

from configs import elmo_original
from elmo_jax.config import CharCnnConfig, ElmoConfig
from train.families.elmo.config import BilmPretraining


def config() -> BilmPretraining:
    """Return the configuration of elmo_original with a smaller model."""
    return dataclasses.replace(
        elmo_original.config(),
        model=ElmoConfig(
            char_cnn=CharCnnConfig(num_highways=1), cell_dim=1024, projection_dim=128
        ),
        num_steps=1_501_260,
    )
