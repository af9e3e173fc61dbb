# SPDX-License-Identifier: Apache-2.0
"""What a model is, whatever it is called and wherever it lies.

Whoever keeps what a model has computed, and would use it again, keeps `identify_model`
beside it.
"""

import dataclasses
import hashlib
import json
from typing import Any, Protocol, runtime_checkable

import numpy as np

from embed_jax.tree import name_leaves

FORM = 1
"""Raised where the code of these packages makes other vectors of the same model and
text than before: a mended tokeniser, another pooling. What was computed by earlier code
is then computed again, and not gone on with."""


@runtime_checkable
class TellsState(Protocol):
    """A tokeniser that says what its pieces depend on."""

    def state(self) -> Any:
        """Return it as a JSON value, the same for tokenisers that do the same."""
        ...


def identify_model(params: Any, tokenizer: Any) -> dict[str, Any]:
    """Return digests of all that a model's vectors depend on, and `FORM`.

    Args:
      params: what `load` gave.
      tokenizer: what `load` gave; one without a `state` is not told from others.

    Returns:
      "configuration", "tokenizer" and "weights", hexadecimal digits of SHA-256, and
      "form".
    """
    weights = hashlib.sha256()
    for name, leaf in name_leaves(params).items():
        array = np.ascontiguousarray(leaf)
        weights.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        weights.update(array.reshape(-1).view(np.uint8).data)
    config = getattr(params, "config", None)
    state = tokenizer.state() if isinstance(tokenizer, TellsState) else None
    return {
        "configuration": _digest(_set_fields(config)),
        "tokenizer": _digest([type(tokenizer).__name__, state]),
        "weights": weights.hexdigest(),
        "form": FORM,
    }


def _set_fields(config: Any) -> Any:
    """Return a configuration without what is as by default.

    A field that later code adds leaves the digest of a model as it was.
    """
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {
            field.name: _set_fields(value)
            for field in dataclasses.fields(config)
            if (value := getattr(config, field.name)) != _default_of(field)
        }
    return config


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
