# SPDX-License-Identifier: Apache-2.0
"""The feature-based tagger of the published shape: two BiLSTMs of 768, no CRF.

Command: python -m train.ner ner_table7 --model MODEL --data DATA --context document
Hardware: made for one accelerator.
Time: not measured; on two cores about 15 times that of ner_small.
Score: BERT-base cased on CoNLL-2003 dev, published: 91.0 (embeddings) to 96.1
  (concat(last4)); not reproduced here, for want of these data and weights.
"""

from train.tasks.ner.tagging import Tagging


def config() -> Tagging:
    """Return the shape and the five seeds of Devlin et al. 2019, section 5.3.

    The paper gives neither the training settings nor whether 768 is the width of both
    directions together, as here; dropout, learning rate, clipping, batches and epochs
    are ours.
    """
    return Tagging()
