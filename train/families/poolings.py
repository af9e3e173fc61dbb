# SPDX-License-Identifier: Apache-2.0
"""The ways in which the vectors of a sentence become one."""

from collections.abc import Mapping
from typing import Any

Pooling = Mapping[str, Any]
"""Options of an encoder's `stream_sentences`."""

WORD_POOLINGS: Mapping[str, Pooling] = {
    "mean": {"pool": "mean"},
    "max": {"pool": "max"},
}
"""Those of an encoder whose sentences have no special tokens, so those of any."""
