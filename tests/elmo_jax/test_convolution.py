# SPDX-License-Identifier: Apache-2.0
"""The wide filters' own gradient is the one that jax derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from elmo_jax.convolution import FEWEST_FILTERS, PORTION, highest_responses
from embed_jax.devices.platform import tracing_for

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


def highest(embedded: jax.Array, kernel: jax.Array) -> jax.Array:
    """As jax writes it, and derives its gradient."""
    found = jax.lax.conv_general_dilated(
        embedded,
        kernel,
        window_strides=(1,),
        padding="VALID",
        dimension_numbers=("NHC", "HIO", "NHC"),
        precision="highest",
    )
    return found.max(axis=1)


@pytest.mark.parametrize("width", [1, 3, 7])
@pytest.mark.parametrize("num_words", NUMBERS)
def test_gradient_in_portions(num_words, width):
    embedded, kernel, slopes = responses(num_words, width, FEWEST_FILTERS)
    value, pull = jax.vjp(highest_responses, embedded, kernel)
    expected, expected_pull = jax.vjp(highest, embedded, kernel)
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
    found = jax.vjp(highest_responses, embedded, kernel)[1](slopes)
    expected = jax.vjp(highest, embedded, kernel)[1](slopes)
    for ours, theirs in zip(found, expected, strict=True):
        scale = np.abs(theirs).max()
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * scale)


def is_in_portions(embedded: jax.Array, kernel: jax.Array) -> bool:
    """Tell whether words are read with their gradient in portions: in a loop."""

    def total(embedded: jax.Array, kernel: jax.Array) -> jax.Array:
        return highest_responses(embedded, kernel).sum()

    program = str(jax.make_jaxpr(jax.grad(total, argnums=(0, 1)))(embedded, kernel))
    assert ("scan" in program) != ("conv_general_dilated" in program)
    return "scan" in program


def test_portions_are_for_wide_filters_on_cpu():
    embedded, kernel, _ = responses(4, 3, FEWEST_FILTERS)
    narrow = kernel[..., :-1]
    assert_allclose(
        highest_responses(embedded, narrow), highest(embedded, narrow), rtol=1e-6
    )
    assert is_in_portions(embedded, kernel)
    assert not is_in_portions(embedded, narrow)
    for other in ("gpu", "tpu"):
        with tracing_for(other):
            assert not is_in_portions(embedded, kernel)
