# SPDX-License-Identifier: Apache-2.0
"""The wide filters' own gradient is the one that jax derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from elmo_jax import convolution
from elmo_jax.convolution import FEWEST_FILTERS, PORTION, highest_responses

# Words that fill no portion, one portion exactly, and one and a bit.
NUMBERS = [3, PORTION, PORTION + 9]


def responses(num_words: int, width: int, num_filters: int) -> tuple[jax.Array, ...]:
    """Return embedded words, the last half of each padding; filters; slopes."""
    rng = np.random.default_rng(0)
    embedded = rng.normal(size=(num_words, 12, 4))
    embedded[:, 6:] = rng.normal(size=4)  # windows of padding alone are all alike
    kernel = rng.normal(size=(width, 4, num_filters))
    slopes = rng.normal(size=(num_words, num_filters))
    return tuple(
        jnp.asarray(array, jnp.float32) for array in (embedded, kernel, slopes)
    )


@pytest.mark.parametrize("width", [1, 3, 7])
@pytest.mark.parametrize("num_words", NUMBERS)
def test_gradient_in_portions(num_words, width):
    embedded, kernel, slopes = responses(num_words, width, FEWEST_FILTERS)
    value, pull = jax.vjp(convolution._highest_in_portions, embedded, kernel)
    expected, expected_pull = jax.vjp(convolution._highest, embedded, kernel)
    assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    of_embedded, of_kernel = pull(slopes)
    expected_of_embedded, expected_of_kernel = expected_pull(slopes)
    scale = np.abs(expected_of_kernel).max()
    assert_allclose(of_kernel, expected_of_kernel, rtol=1e-4, atol=1e-6 * scale)
    # Ties of padding go to the first of the windows here and are shared there; the
    # characters of both are the same.
    assert_allclose(
        of_embedded.sum(axis=(0, 1)),
        np.asarray(expected_of_embedded).sum(axis=(0, 1)),
        rtol=1e-4,
        atol=1e-5 * scale,
    )


def test_gradient_without_ties():
    _, _, slopes = responses(PORTION + 1, 5, FEWEST_FILTERS)
    # Whole numbers, so that both ways compute the same responses to the last bit.
    rng = np.random.default_rng(1)
    embedded = jnp.float32(rng.integers(-500, 500, (PORTION + 1, 12, 4)))
    kernel = jnp.float32(rng.integers(-500, 500, (5, 4, FEWEST_FILTERS)))
    found = jax.vjp(convolution._highest_in_portions, embedded, kernel)[1](slopes)
    expected = jax.vjp(convolution._highest, embedded, kernel)[1](slopes)
    for ours, theirs in zip(found, expected, strict=True):
        scale = np.abs(theirs).max()
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * scale)


def test_portions_are_for_wide_filters_on_cpu(monkeypatch):
    embedded, kernel, _ = responses(4, 3, FEWEST_FILTERS)

    def in_portions(embedded: jax.Array, kernel: jax.Array) -> jax.Array:
        raise AssertionError("in portions")

    monkeypatch.setattr(convolution, "_highest_in_portions", in_portions)
    narrow = kernel[..., :-1]
    assert_array_equal(
        highest_responses(embedded, narrow), convolution._highest(embedded, narrow)
    )
    with pytest.raises(AssertionError, match="in portions"):
        highest_responses(embedded, kernel)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    highest_responses(embedded, kernel)
