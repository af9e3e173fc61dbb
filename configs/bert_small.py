# SPDX-License-Identifier: Apache-2.0
"""BERT-small (Turc et al. 2019): 4 blocks of 512, 29.1 M parameters.

Command: python -m train.prepare bert_small && python -m train.pretrain bert_small
  --workdir runs/bert_small (needs a TFDS data set wikipedia)
Hardware: not found. Not run by us.
Time: not found; the authors say no more than that the recipe is BERT's, so that steps,
  batch and rate here are those of BERT-base.
Score: published, with the books that are missing here, GLUE 71.2.
"""

import dataclasses

from bert_jax.config import BertConfig
from configs import bert_base
from train.families.bert.config import MaskedLmPretraining


def config() -> MaskedLmPretraining:
    """Return the configuration of bert_base with a smaller model."""
    return dataclasses.replace(
        bert_base.config(),
        model=BertConfig(num_blocks=4, num_heads=8, layer_dim=512, mlp_dim=2048),
    )
