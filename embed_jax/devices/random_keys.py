# SPDX-License-Identifier: Apache-2.0
"""Random keys that depend on a seed alone, whatever the settings of jax are.

`jax.random.key` makes keys of the kind that JAX_DEFAULT_PRNG_IMPL names, adds
JAX_RANDOM_SEED_OFFSET to the seed, and draws other bits where
JAX_THREEFRY_PARTITIONABLE is 0. A run that goes on elsewhere would go on with other
numbers, and in silence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import jax
import jax.numpy as jnp

# The high half of a key: that of `jax.random.key` is 0 for seeds of 32 bits.
_PURPOSES = {None: 0, "weights": 1, "draws": 2}


def random_key(
    seed: Any, purpose: Literal["weights", "draws"] | None = None
) -> jax.Array:
    """Return the key of a seed; no two purposes share one.

    Args:
      seed: at least 0 and below 2³²; may be traced.
      purpose: weights, of first weights; draws, of dropout and orders; None, the key
        that `jax.random.key` makes by default, which older runs drew from.

    Example:
      >>> jax.random.key_data(random_key(7)).tolist()
      [0, 7]
      >>> jax.random.key_data(random_key(7, "weights")).tolist()
      [1, 7]
    """
    halves = jnp.uint32(_PURPOSES[purpose]), jnp.asarray(seed, jnp.uint32)
    return jax.random.wrap_key_data(jnp.stack(halves), impl="threefry2x32")


@contextmanager
def same_draws() -> Iterator[None]:
    """Draw the same numbers from a key whatever JAX_THREEFRY_PARTITIONABLE is.

    What draws must be compiled within; it can also decorate a function.
    """
    with jax.threefry_partitionable(True):
        yield
