# SPDX-License-Identifier: Apache-2.0
"""Training of ELMo biLMs.

The import is light, because every process that prepares text imports this package; only
`FAMILY` imports jax.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import the family on access."""
    if name == "FAMILY":
        from train.families.elmo.family import FAMILY

        return FAMILY
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
