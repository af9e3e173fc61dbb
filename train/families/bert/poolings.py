# SPDX-License-Identifier: Apache-2.0
"""The ways in which a BERT's tokens become one vector."""

from collections.abc import Mapping

from train.families.poolings import Pooling

BERT_POOLINGS: Mapping[str, Pooling] = {
    "mean": {"pool": "mean"},
    "mean, no specials": {"pool": "mean", "specials": False},
    "max": {"pool": "max"},
    "max, no specials": {"pool": "max", "specials": False},
    "cls": {"pool": "cls"},
}
"""[CLS] and [SEP] among the tokens but where the name says otherwise."""
