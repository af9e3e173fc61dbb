# SPDX-License-Identifier: Apache-2.0
"""BERT-large, uncased (Devlin et al. 2019): 336 M parameters.

Command: python -m train.prepare bert_large && python -m train.pretrain bert_large
  --workdir runs/bert_large (needs a TFDS data set wikipedia)
Hardware: published, 64 TPU chips. Not run by us.
Time: published, four days; one million steps.
Score: published, with the books that are missing here, held-out masked perplexity 3.23.
"""

import dataclasses

from bert_jax.config import BertConfig
from configs import bert_base
from train.families.bert.config import MaskedLmPretraining


def config() -> MaskedLmPretraining:
    """Return the configuration of bert_base with a larger model."""
    return dataclasses.replace(
        bert_base.config(),
        model=BertConfig(num_blocks=24, num_heads=16, layer_dim=1024, mlp_dim=4096),
    )
