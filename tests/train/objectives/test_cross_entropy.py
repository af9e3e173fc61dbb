# SPDX-License-Identifier: Apache-2.0
"""The loss of a choice and its gradient, by hand and by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from train.objectives.cross_entropy import cross_entropy


def test_losses_and_hits_by_hand():
    """Of three, two of which score alike; and of two, one three times as probable."""
    logits = jnp.array([[[0.0, 0.0, -jnp.inf]] * 3, [[0.0, np.log(3.0), -jnp.inf]] * 3])
    targets = jnp.array([[0, 1, 0], [0, 1, 0]])
    choice = cross_entropy(logits, targets)
    expected = [[np.log(2)] * 3, [np.log(4), np.log(4 / 3), np.log(4)]]
    np.testing.assert_allclose(choice.losses, expected, rtol=1e-6)
    # Of two that score alike neither is beaten.
    assert choice.hits.tolist() == [[True] * 3, [False, True, False]]


def test_scores_that_exp_cannot_hold():
    logits = jnp.array([[[1000.0, 990.0], [-1000.0, -990.0]]])
    choice = cross_entropy(logits, jnp.array([[1, 1]]))
    np.testing.assert_allclose(choice.losses, [[10.0, 0.0]], atol=1e-4)


def test_the_gradient_is_the_probability_less_what_was_right():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5)).astype(np.float32)
    targets = rng.integers(0, 5, (2, 3)).astype(np.int32)
    weights = rng.normal(size=(2, 3)).astype(np.float32)

    def total(logits):
        return jnp.sum(cross_entropy(logits, jnp.asarray(targets)).losses * weights)

    gradient = jax.grad(total)(jnp.asarray(logits))
    probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = (probability - np.eye(5)[targets]) * weights[..., None]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
