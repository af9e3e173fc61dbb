# SPDX-License-Identifier: Apache-2.0
"""BERT encoders as training sees them.

Light: every process that prepares text imports it, and jax comes with `FAMILY` alone.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import the family when it is asked for."""
    if name == "FAMILY":
        from train.families.bert.family import FAMILY

        return FAMILY
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
