# SPDX-License-Identifier: Apache-2.0
"""A barrier: values that the compiler computes once, where they stand."""

from typing import TypeVar

import jax

T = TypeVar("T")


def materialise(values: T) -> T:
    """Compute values once and keep them."""
    # Otherwise XLA:CPU may compute the values again in each of their consumers, and the
    # operands of a product while it multiplies.
    return jax.lax.optimization_barrier(values)
