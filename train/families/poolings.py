# SPDX-License-Identifier: Apache-2.0
"""Poolings of the vectors of a sentence into one."""

from collections.abc import Mapping
from typing import Any

Pooling = Mapping[str, Any]
"""A pooling, as options of an encoder's `stream_sentences`."""

WORD_POOLINGS: Mapping[str, Pooling] = {
    "mean": {"pool": "mean"},
    "max": {"pool": "max"},
}
"""The poolings of every encoder, by name; they need no special tokens."""
