# SPDX-License-Identifier: Apache-2.0
"""Fields out of range are refused by name."""

import dataclasses
import math
from types import SimpleNamespace

import pytest

from embed_jax.checks import (
    check_above,
    check_at_least,
    check_fields,
    check_rates,
    check_seed,
)


def test_the_least_value_is_taken_and_what_is_below_is_named():
    config = SimpleNamespace(rows=1, steps=0)
    check_at_least(config, 1, "rows")
    check_at_least(config, 0, "rows", "steps")
    with pytest.raises(ValueError, match=r"^steps must be at least 1, not 0$"):
        check_at_least(config, 1, "rows", "steps")
    with pytest.raises(ValueError, match=r"^rows must be at least 2, one each, not 1$"):
        check_at_least(config, 2, "rows", why="one each")


@pytest.mark.parametrize("rate", [0, 0.0, 0.5, 0.999, None])
def test_rates_are_from_0_and_below_1(rate):
    check_rates(SimpleNamespace(dropout_rate=rate), "dropout_rate")


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, math.nan])
def test_what_is_no_rate_is_refused(rate):
    message = rf"^dropout_rate must be at least 0 and below 1, not {rate}$"
    with pytest.raises(ValueError, match=message):
        check_rates(SimpleNamespace(low=0.1, dropout_rate=rate), "low", "dropout_rate")


def test_what_is_not_above_a_bound_is_named():
    config = SimpleNamespace(fast=1e-9, default=None, zero=0.0, nan=math.nan)
    check_above(config, 0, "fast", "default")
    for name, value in (("zero", "0.0"), ("nan", "nan")):
        with pytest.raises(ValueError, match=rf"^{name} must be above 0, not {value}$"):
            check_above(config, 0, "fast", name)


def test_seeds_that_are_taken_draw_each_its_own():
    """Of more than 32 bits jax uses 32; those of several runs follow each other."""
    for seed, number in ((0, 1), ((1 << 32) - 1, 1), ((1 << 32) - 5, 5)):
        check_seed(SimpleNamespace(seed=seed), number)
    for seed, number in ((-1, 1), (1 << 32, 1), (1 << 40, 1), ((1 << 32) - 4, 5)):
        with pytest.raises(ValueError, match=r"^seed must be at least 0 and below"):
            check_seed(SimpleNamespace(seed=seed), number)


def test_a_whole_number_of_more_than_32_bits_is_refused_on_its_side():
    @dataclasses.dataclass
    class Options:
        rows: int = 1

    for rows in ((1 << 31) - 1, 1 - (1 << 31)):
        check_fields(Options(rows))
    with pytest.raises(ValueError, match=rf"^rows must be at most {(1 << 31) - 1}, no"):
        check_fields(Options(1 << 31))
    with pytest.raises(ValueError, match=rf"^rows must be at least {1 - (1 << 31)}, n"):
        check_fields(Options(-(1 << 40)))
