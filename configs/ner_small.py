# SPDX-License-Identifier: Apache-2.0
"""A tagger small enough for the whole table in minutes on two cores.

Command: python -m train.ner ner_small --model MODEL --data DATA
Hardware: two cores of an EPYC with AVX-512.
Time: WNUT-17, vectors of 384: the table of six rows 155 s once features are cached.
Score: docs/results/README.md; all-MiniLM-L6-v2, mix(blocks), test F1 41.6 on WNUT-17.
"""

from train.tasks.ner.tagging import Tagging


def config() -> Tagging:
    """Return two BiLSTMs of 2 x 32, with a high learning rate and early stopping."""
    return Tagging(cell_dim=32, learning_rate=1e-2, num_epochs=5, patience=2)
