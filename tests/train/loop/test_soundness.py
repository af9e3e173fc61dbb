# SPDX-License-Identifier: Apache-2.0
"""What tells a state that is worth keeping."""

import jax.numpy as jnp
import pytest

from train.loop.soundness import no_number, not_finite


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_one_number_that_is_not_finite_is_found_and_its_leaf_named(value):
    tree = {"a": jnp.ones(3), "b": jnp.array([1.0, float(value)]), "c": jnp.arange(3)}
    name = not_finite(tree)
    assert name is not None
    assert "b" in name
    assert not_finite({"a": jnp.ones(3), "c": jnp.arange(3)}) is None
    assert no_number({"loss": 1.0, "pair_loss": float(value)}) == "pair_loss"
    assert no_number({"loss": 1.0, "accuracy": float(value)}) is None
