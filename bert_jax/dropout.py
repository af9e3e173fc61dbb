# SPDX-License-Identifier: Apache-2.0
"""Dropout whose coins are a function of a row's seeds and of the place in the row.

Linen's draws 32 bits of Threefry for every value, some hundred operations, which cost
more than what is dropped. A hash of the place costs ten, has nothing to remember for
the backward pass, and can be computed anywhere: inside an attention kernel too, which
so drops what the plain form drops.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt

# Coins are compared in so many bits: rates are exact to 6e-8.
COIN_BITS = 24


def row_seeds(key: jax.Array, num_rows: int) -> UInt[Array, "B 2"]:
    """Draw two seeds a row; the same rows have the same on any number of devices."""
    return jax.random.bits(key, (num_rows, 2), jnp.uint32)


def keeps(
    seed: tuple[UInt[Array, "..."], UInt[Array, "..."]],
    place: UInt[Array, "..."],
    rate: float,
) -> Bool[Array, "..."]:
    """Toss a coin for each place; True keeps its value.

    Args:
      seed: the two of the row, of any shape that broadcasts.
      place: different for each value of the row.
      rate: the share that is not kept.

    An integer hash of two multiplications (C. Wellons's lowbias32 constants), with the
    second seed put in halfway, so that no row's coins are another's moved along.
    """
    first, second = seed
    hashed = (place + first) * jnp.uint32(0x9E3779B9)
    hashed = (hashed ^ (hashed >> 16)) * jnp.uint32(0x7FEB352D)
    hashed = hashed ^ second
    hashed = (hashed ^ (hashed >> 15)) * jnp.uint32(0x846CA68B)
    coin = (hashed ^ (hashed >> 16)) >> (32 - COIN_BITS)
    # Below 2**24, so that a signed comparison, which TPUs have, is the same.
    return coin.astype(jnp.int32) < round((1 - rate) * 2**COIN_BITS)


def drop(
    values: Float[Array, "B ..."], seeds: UInt[Array, "B 2"], rate: float
) -> Float[Array, "B ..."]:
    """Set values to zero at the given rate and enlarge the others, so that means stay.

    Args:
      values: any shape that begins with rows.
      seeds: of the rows, from `row_seeds`.
      rate: below 1.
    """
    of_row = values.shape[1:]
    place = _places(of_row)[None]
    shape = (-1,) + (1,) * len(of_row)
    seed = seeds[:, 0].reshape(shape), seeds[:, 1].reshape(shape)
    kept = keeps(seed, place, rate)
    return jnp.where(kept, values / (1 - rate), jnp.zeros((), values.dtype))


def _places(shape: tuple[int, ...]) -> UInt[Array, "..."]:
    """Number the values of a row."""
    place = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        stride = math.prod(shape[axis + 1 :])
        place += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride)
    return place


class Dropout(nn.Module):
    """`drop` with seeds from the "dropout" stream.

    Attributes:
      rate: the share that is dropped.
    """

    rate: float

    @nn.compact
    def __call__(
        self, values: Float[Array, "B ..."], deterministic: bool
    ) -> Float[Array, "B ..."]:
        """Drop, unless `deterministic`."""
        if deterministic or not self.rate:
            return values
        seeds = row_seeds(self.make_rng("dropout"), len(values))
        return drop(values, seeds, self.rate)
