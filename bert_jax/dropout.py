# SPDX-License-Identifier: Apache-2.0
"""Dropout whose mask is a hash of the row's seeds and of the position in the row.

Linen's dropout draws 32 bits of Threefry for every value, about a hundred operations,
which cost more than computing the values themselves. The hash costs ten operations,
stores nothing for the backward pass, and can be computed inside an attention kernel,
which then drops the same values as the plain form.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt

# Coins are compared in so many bits: rates are exact to 6e-8.
COIN_BITS = 24


def row_seeds(key: jax.Array, num_rows: int) -> UInt[Array, "B 2"]:
    """Draw two seeds a row, independent of the number of devices."""
    return jax.random.bits(key, (num_rows, 2), jnp.uint32)


def keeps(
    seed: tuple[UInt[Array, "..."], UInt[Array, "..."]],
    place: UInt[Array, "..."],
    rate: float,
) -> Bool[Array, "..."]:
    """Return the dropout mask; True keeps the value.

    Args:
      seed: the two seeds of the row, of any shape that broadcasts.
      place: a number for each value, unique in the row.
      rate: the share of values to drop.

    An integer hash of two multiplications (C. Wellons's lowbias32 constants). The
    second seed enters halfway, so that no row's mask is a shifted copy of another's.
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
    """Set values to zero at the given rate and scale the others to keep the mean.

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
      rate: the share of values to drop.
    """

    rate: float

    @nn.compact
    def __call__(
        self, values: Float[Array, "B ..."], deterministic: bool
    ) -> Float[Array, "B ..."]:
        """Apply dropout, unless `deterministic`."""
        if deterministic or not self.rate:
            return values
        seeds = row_seeds(self.make_rng("dropout"), len(values))
        return drop(values, seeds, self.rate)
