# SPDX-License-Identifier: Apache-2.0
"""BERT-mini (Turc et al. 2019): 4 blocks of 256, 11.3 M parameters.

Command: python -m train.prepare bert_mini && python -m train.pretrain bert_mini
  --workdir runs/bert_mini (needs a TFDS data set wikipedia)
Hardware: not found. Not run by us.
Time: not found; the authors say no more than that the recipe is BERT's, so that steps,
  batch and rate here are those of BERT-base.
Score: published, with the books that are missing here, GLUE 65.8.
"""

import dataclasses

from bert_jax.config import BertConfig
from configs import bert_base
from train.families.bert.config import MaskedLmPretraining


def config() -> MaskedLmPretraining:
    """Return the configuration of bert_base with a smaller model."""
    return dataclasses.replace(
        bert_base.config(),
        model=BertConfig(num_blocks=4, num_heads=4, layer_dim=256, mlp_dim=1024),
    )
