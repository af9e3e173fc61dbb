# SPDX-License-Identifier: Apache-2.0
"""Coins of dropout are fair, and no two that should differ are alike."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bert_jax
from bert_jax.attention import attention_mask
from bert_jax.dropout import Dropout, drop, row_seeds
from bert_jax.encoder import Block
from embed_jax.devices.mesh import data_mesh, shard_rows

ROWS, PLACES = 256, (64, 96)
ONES = jnp.ones((ROWS, *PLACES))


def coins(rate, seed=0):
    """Which values are kept, as 0 and 1."""
    seeds = row_seeds(jax.random.key(seed), ROWS)
    return np.asarray(drop(ONES, seeds, rate) != 0, np.float64)


def deviations(share, rate, number):
    """How many standard deviations a share of kept values is from what it should be."""
    return abs(share - (1 - rate)) / np.sqrt(rate * (1 - rate) / number)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_as_many_are_dropped_as_should_be(rate):
    kept = coins(rate)
    assert deviations(kept.mean(), rate, kept.size) < 4
    # In every row, column and place of its own too: chi square of their shares.
    for axes in ((1, 2), (0, 2), (0, 1)):
        shares = kept.mean(axis=axes)
        number = kept.size / len(shares)
        squares = deviations(shares, rate, number) ** 2
        spread = (squares.sum() - len(shares)) / np.sqrt(2 * len(shares))
        assert abs(spread) < 4


def test_what_is_kept_is_enlarged():
    seeds = row_seeds(jax.random.key(0), ROWS)
    assert set(np.unique(drop(ONES, seeds, 0.5))) == {0.0, 2.0}
    gradient = jax.grad(lambda values: drop(values, seeds, 0.5).sum())(ONES)
    np.testing.assert_array_equal(gradient, drop(ONES, seeds, 0.5))


def test_no_two_rows_steps_or_neighbours_are_alike():
    rate = 0.5
    kept = 2 * coins(rate) - 1
    limit = 5 / np.sqrt(kept.size)
    other_step = 2 * coins(rate, seed=1) - 1
    assert abs((kept * other_step).mean()) < limit
    assert abs((kept[1:] * kept[:-1]).mean()) < limit
    flat = kept.reshape(ROWS, -1)
    for lag in (1, 2, 3, 64, 96, 128, 1024):
        assert abs((flat[:, lag:] * flat[:, :-lag]).mean()) < limit
        # Nor is one row another's, moved along.
        assert abs((flat[1:, lag:] * flat[:-1, :-lag]).mean()) < limit
    # Correlations of all pairs of rows are no larger than chance makes them.
    correlation = flat @ flat.T / flat.shape[1]
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 6 / np.sqrt(flat.shape[1])


def test_devices_toss_the_same_coins():
    mesh = data_mesh(jax.devices()[:4])
    module = Dropout(0.3)

    @jax.jit
    def run(values):
        return module.apply({}, values, False, rngs={"dropout": jax.random.key(3)})

    np.testing.assert_array_equal(run(shard_rows(ONES, mesh)), run(ONES))


def test_without_chance_nothing_happens():
    assert Dropout(0.3).apply({}, ONES, True) is ONES
    assert Dropout(0.0).apply({}, ONES, False) is ONES


@pytest.mark.parametrize("half", ["attention", "mlp"])
def test_dropout_falls_on_what_each_half_of_a_block_adds(half):
    """The other half adds nothing, and within attention nothing is dropped."""
    config = dataclasses.replace(
        bert_jax.TINY, dropout_rate=0.5, attention_dropout_rate=0.0, num_blocks=1
    )
    states = jax.random.normal(jax.random.key(0), (4, 6, config.layer_dim))
    seen = attention_mask(jnp.ones((4, 6), bool), None)
    block = Block(config, jnp.dtype(jnp.float32))
    weights = block.init(jax.random.key(1), states, seen)["params"]
    silent = {"attention": "mlp", "mlp": "attention"}[half]
    last = {"attention": "out", "mlp": "down"}[silent]
    weights[silent][last] = jax.tree.map(jnp.zeros_like, weights[silent][last])

    def run(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return block.apply({"params": weights}, states, seen, False, rngs=rngs)

    assert np.abs(run(0) - run(1)).max() > 1e-3
