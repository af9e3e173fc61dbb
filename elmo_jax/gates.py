# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of an LSTM's gates, shared by the loops that serve and that train."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

T = TypeVar("T")

FORGET_BIAS = 1.0  # added when run, in no published bias


def clip(values: Array, bound: float | None) -> Array:
    """Bound values on both sides, unless there is no bound."""
    return values if bound is None else jnp.clip(values, -bound, bound)


def sigmoid(values: Array) -> Array:
    """Compute the logistic function."""
    # XLA:CPU computes tanh in half the time of its logistic function.
    return 0.5 * jnp.tanh(0.5 * values) + 0.5


def materialise(values: T) -> T:
    """Compute values once and keep them."""
    # Otherwise XLA:CPU may compute the values again in each of their consumers, and the
    # operands of a product while it multiplies.
    return jax.lax.optimization_barrier(values)
