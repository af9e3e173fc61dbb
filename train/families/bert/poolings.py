# SPDX-License-Identifier: Apache-2.0
"""Poolings of a BERT's tokens into one vector of the sentence."""

from collections.abc import Mapping

from train.families.poolings import Pooling

BERT_POOLINGS: Mapping[str, Pooling] = {
    "mean": {"pool": "mean"},
    "mean, no specials": {"pool": "mean", "specials": False},
    "max": {"pool": "max"},
    "max, no specials": {"pool": "max", "specials": False},
    "cls": {"pool": "cls"},
}
"""The poolings by name; [CLS] and [SEP] count unless the name says otherwise."""
