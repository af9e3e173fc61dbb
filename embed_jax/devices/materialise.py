# SPDX-License-Identifier: Apache-2.0
"""An optimisation barrier that keeps XLA from recomputing values."""

from typing import TypeVar

import jax

T = TypeVar("T")


def materialise(values: T) -> T:
    """Return the values behind a barrier, so that XLA computes them only once."""
    # Otherwise XLA:CPU may compute the values again in each of their consumers, and the
    # operands of a product while it multiplies.
    return jax.lax.optimization_barrier(values)
