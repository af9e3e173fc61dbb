# SPDX-License-Identifier: Apache-2.0
"""A tagger small enough for the whole table in minutes on two cores.

Command: python -m train.ner ner_small --model MODEL --data DATA
Hardware: two cores of an EPYC without AVX-512.
Time: not measured yet.
Score: docs/results.
"""

from train.tasks.tagging import Tagging


def config() -> Tagging:
    """Return two BiLSTMs of 64; Adam learns fast, and stops early."""
    return Tagging(cell_dim=32, learning_rate=1e-2, num_epochs=5, patience=2)
