# SPDX-License-Identifier: Apache-2.0
"""Settings of jax change no number that a seed decides."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import jax
import numpy as np
import pytest

from embed_jax.devices.random_keys import random_key
from embed_jax.files.run_directory import read_weights
from tests.train.experiments import (
    KINDS,
    check_same,
    make_experiment,
    one_device,
    stop_after,
)
from train.pretrain import pretrain


@contextmanager
def other_settings() -> Iterator[None]:
    """Keys of another kind, other bits of the same keys, and other seeds."""
    jax.config.update("jax_random_seed_offset", 5)
    try:
        with ExitStack() as held:
            held.enter_context(jax.default_prng_impl("rbg"))
            held.enter_context(jax.threefry_partitionable(False))
            yield
    finally:
        jax.config.update("jax_random_seed_offset", 0)


@pytest.mark.parametrize("seed", [0, 7, 2**31 + 5, 2**32 - 1])
def test_the_key_is_the_one_that_jax_makes_of_a_seed_by_default(seed):
    ours, theirs = (jax.random.key_data(k) for k in (random_key(seed), _key(seed)))
    np.testing.assert_array_equal(ours, theirs)
    with other_settings():
        np.testing.assert_array_equal(jax.random.key_data(random_key(seed)), theirs)
        assert jax.random.key_impl(random_key(seed)) == "threefry2x32"
    many = jax.vmap(random_key)(np.array([seed, 3]))
    np.testing.assert_array_equal(jax.random.key_data(many)[0], theirs)
    weights = jax.random.key_data(random_key(seed, "weights"))
    assert (np.asarray(weights) != theirs).any()


def _key(seed: int) -> jax.Array:
    return jax.random.key(seed, impl="threefry2x32")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_under_other_settings_with_the_same_numbers(
    folder, tmp_path, kind
):
    """There is dropout, and all weights are drawn anew."""
    experiment = make_experiment(kind, folder, num_steps=4, save_every=2, eval_every=4)
    whole, run = tmp_path / "whole", tmp_path / "run"
    pretrain(experiment, whole, mesh=one_device())
    with other_settings():
        pretrain(experiment, run, mesh=one_device(), stop=stop_after(2))
        pretrain(experiment, run, mesh=one_device())
    check_same(run, whole)
    jax.tree.map(
        np.testing.assert_array_equal, read_weights(run)[0], read_weights(whole)[0]
    )
