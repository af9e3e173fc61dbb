# SPDX-License-Identifier: Apache-2.0
"""What tells a state that is worth keeping from one that has diverged.

A step's loss is that of the weights before it, so a loss that is a number says nothing
of the weights after it: they are looked at themselves, and so are held-out losses.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from embed_jax.tree import name_leaves
from train.divergence import DivergedError


def check_state(state: Any, step: int) -> None:
    """Refuse a training state with a number that is not finite.

    It is one pass over the leaves, where they lie; all processes call it together.

    Args:
      state: a tree of arrays.
      step: its number of steps, for the message.

    Raises:
      DivergedError: names the first leaf that is not finite.
    """
    name = not_finite(state)
    if name is not None:
        raise DivergedError(f"{name} is not finite after step {step}", step)


def not_finite(tree: Any) -> str | None:
    """Return the name of a tree's first leaf that is not finite; None if all are."""
    named = {
        name: leaf
        for name, leaf in name_leaves(tree).items()
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    }
    # One program for all leaves; only where it says no is each looked at.
    if _all_finite(list(named.values())):
        return None
    return next(name for name, leaf in named.items() if not _all_finite([leaf]))


def no_number(metrics: Mapping[str, float]) -> str | None:
    """Return the name of a held-out loss that is not finite; None if there is none."""
    for name, value in metrics.items():
        if name.endswith("loss") and not math.isfinite(value):
            return name
    return None


def _all_finite(leaves: list[Any]) -> bool:
    return not leaves or bool(jax.device_get(_reduce(leaves)))


@jax.jit
def _reduce(leaves: list[jax.Array]) -> jax.Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
