# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from embed_jax.layers.scalar_mix import (
    ScalarMix,
    mix_layers,
    mix_penalty,
    normalise_layer,
)

# The mask of bilm-tf's tests/test_elmo.py: sentences of four, two and one words.
MASK = jnp.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)


def random_layers(num_layers=3, seed=0):
    rng = np.random.default_rng(seed)
    return list(rng.normal(3, 2, (num_layers, *MASK.shape, 8)).astype(np.float32))


def softmax(weights):
    powers = np.exp(np.asarray(weights, np.float64))
    return powers / powers.sum()


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=5), st.floats(-3, 3))
def test_mix_agrees_with_float64(weights, gamma):
    layers = random_layers(len(weights))
    mixed = mix_layers(
        list(map(jnp.asarray, layers)), jnp.array(weights), jnp.array(gamma)
    )
    expected = gamma * np.einsum("L,LBTD->BTD", softmax(weights), np.float64(layers))
    np.testing.assert_allclose(mixed, expected, rtol=1e-5, atol=1e-5)
    assert mixed.dtype == jnp.float32


def test_an_initial_mix_is_the_mean():
    layers = list(map(jnp.asarray, random_layers()))
    initial = ScalarMix.init(3)
    mixed = mix_layers(layers, initial.weights, initial.gamma)
    np.testing.assert_allclose(mixed, np.mean(layers, axis=0), rtol=1e-6, atol=1e-6)


def test_mix_of_bfloat16_layers_is_computed_in_float32():
    layers = [jnp.array([256.0], jnp.bfloat16), jnp.array([1.0], jnp.bfloat16)]
    mixed = mix_layers(layers, jnp.zeros(2), jnp.array(2.0))
    assert mixed.dtype == jnp.float32
    np.testing.assert_allclose(mixed, [257.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "gamma"), [([0.1, 0.3, 0.5], 1.1), ([0.2, 0.4, 0.6], 0.88)]
)
def test_normalised_mix_as_in_bilm_tf(weights, gamma):
    # The parameters and the expectation of bilm-tf's tests/test_elmo.py.
    layers = random_layers()
    expected = np.zeros(layers[0].shape)
    for share, layer in zip(softmax(weights), layers, strict=True):
        real = layer[MASK]
        expected += share * (layer - np.mean(real)) / (np.std(real) + 1e-12)
    expected *= gamma
    normalised = [normalise_layer(jnp.asarray(layer), MASK) for layer in layers]
    mixed = mix_layers(normalised, jnp.array(weights), jnp.array(gamma))
    np.testing.assert_allclose(mixed[MASK], expected[MASK], atol=1e-6)
    np.testing.assert_array_equal(mixed[~MASK], 0)


def test_normalising_over_rows_is_what_each_row_gets_alone():
    layer = jnp.asarray(random_layers()[0])
    over_rows = normalise_layer(layer, MASK, over="row")
    for row in range(len(MASK)):
        alone = normalise_layer(layer[row : row + 1], MASK[row : row + 1], over="batch")
        np.testing.assert_allclose(over_rows[row], alone[0], rtol=1e-6, atol=1e-6)
    over_batch = normalise_layer(layer, MASK, over="batch")
    assert np.abs(over_rows - over_batch).max() > 0.1


def test_each_text_of_a_row_is_normalised_by_itself():
    layer = np.random.default_rng(0).normal(3, 2, (2, 7, 4)).astype(np.float32)
    layer[1, 5:] = np.nan
    texts = np.array([[1, 1, 2, 2, 2, 3, 3], [1, 1, 1, 1, 2, 2, 2]])
    mask = ~np.isnan(layer).any(axis=-1)
    found = normalise_layer(*map(jnp.asarray, (layer, mask)), texts=jnp.asarray(texts))
    for row in range(2):
        for text in np.unique(texts[row]):
            own = (texts[row] == text) & mask[row]
            (alone,) = normalise_layer(
                jnp.asarray(layer[row, own][None]), jnp.ones((1, own.sum()), bool)
            )
            np.testing.assert_allclose(found[row, own], alone, atol=1e-5)
    np.testing.assert_array_equal(found[1, 5:], 0)


@pytest.mark.parametrize("over", ["batch", "row"])
@pytest.mark.parametrize("padding", [1e30, np.inf, np.nan])
def test_normalising_never_reads_padding(over, padding):
    layer = random_layers()[0]
    spoilt = jnp.where(MASK[..., None], layer, padding)

    def normalise(layer):
        return normalise_layer(layer, MASK, over)

    np.testing.assert_array_equal(normalise(spoilt), normalise(jnp.array(layer)))
    slope = jax.grad(lambda layer: jnp.sum(normalise(layer) ** 3))(spoilt)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[~MASK], 0)


@pytest.mark.parametrize("over", ["batch", "row"])
def test_normalising_empty_and_constant_rows_is_finite(over):
    mask = jnp.array([[False, False], [True, True]])
    layer = jnp.full((2, 2, 4), 7.0)
    value, slope = jax.value_and_grad(
        lambda layer: jnp.sum(normalise_layer(layer, mask, over))
    )(layer)
    assert value == 0
    assert np.isfinite(slope).all()


def test_gradients_of_all_arguments():
    layers = [jnp.asarray(layer) for layer in random_layers(2)]

    @jax.jit
    def normalised_mix(mix, layers):
        normalised = [normalise_layer(layer, MASK) for layer in layers]
        return mix_layers(normalised, mix.weights, mix.gamma)

    mix = ScalarMix(weights=jnp.array([0.3, -0.2]), gamma=jnp.array(1.5))
    check_grads(normalised_mix, (mix, layers), order=1, modes="rev", rtol=2e-2)


def test_mixes_of_several_tasks_under_jit_and_vmap():
    layers = [jnp.asarray(layer) for layer in random_layers(2)]
    weights, gammas = jnp.array([[0.0, 1.0], [2.0, -1.0]]), jnp.array([1.0, 0.5])

    @jax.jit
    def mix_of_task(mix):
        return mix_layers(layers, mix.weights, mix.gamma)

    mixed = jax.vmap(mix_of_task)(ScalarMix(weights, gammas))
    for task in range(2):
        expected = mix_layers(layers, weights[task], gammas[task])
        np.testing.assert_allclose(mixed[task], expected, rtol=1e-6, atol=1e-6)


@given(st.lists(st.floats(-20, 20), max_size=5), st.floats(0, 3))
def test_the_penalty_agrees_with_float64(weights, coefficient):
    mix = ScalarMix(jnp.array(weights, jnp.float32), jnp.array(7.0))
    expected = coefficient * np.sum(np.square(np.array(weights, np.float32), dtype="d"))
    penalty = mix_penalty(mix, coefficient)
    np.testing.assert_allclose(penalty, expected, rtol=1e-6, atol=1e-30)
    assert penalty.dtype == jnp.float32


def test_the_penalty_of_several_mixes_is_their_sum():
    one = ScalarMix(jnp.array([1.0, 2.0]), jnp.array(9.0))
    other = ScalarMix(jnp.array([3.0]), jnp.array(9.0))
    assert mix_penalty((one, other), 0.5) == 7.0
    assert mix_penalty([one, other], 0.5) == 7.0
    assert mix_penalty((), 0.5) == 0.0
    assert mix_penalty(ScalarMix.init(3), 0.5) == 0.0


def test_the_penalty_pulls_at_the_weights_and_leaves_gamma():
    mix = ScalarMix(jnp.array([0.3, -0.2]), jnp.array(1.5))
    slope = jax.jit(jax.grad(lambda mix: mix_penalty(mix, 0.25)))(mix)
    np.testing.assert_allclose(slope.weights, [0.15, -0.1], rtol=1e-6)
    assert slope.gamma == 0
    check_grads(lambda mix: mix_penalty(mix, 0.25), (mix,), order=1, modes="rev")


def shares_after_training(coefficient):
    """Learn to reproduce the last of three layers; gamma is learnt along."""
    layers = [jnp.asarray(layer) for layer in random_layers()]

    @jax.jit
    def slope(mix):
        def loss(mix):
            error = mix_layers(layers, mix.weights, mix.gamma) - layers[-1]
            return jnp.mean(error**2) + mix_penalty(mix, coefficient)

        return jax.grad(loss)(mix)

    mix = ScalarMix.init(3)
    for _ in range(500):
        mix = jax.tree.map(lambda leaf, by: leaf - 0.04 * by, mix, slope(mix))
    return softmax(mix.weights), float(mix.gamma)


def test_a_large_penalty_keeps_the_mean_and_a_small_one_does_not():
    shares, gamma = shares_after_training(10.0)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)
    assert abs(gamma - 1) > 0.01
    shares, _ = shares_after_training(0.001)
    assert shares[-1] > 0.9


def test_a_scalar_mix_is_a_tree_of_any_leaves():
    shapes = jax.eval_shape(lambda: ScalarMix.init(3))
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == ScalarMix((3,), ())


def test_errors():
    layer = jnp.ones((3, 4, 8))
    with pytest.raises(ValueError, match=r"coefficient of -0\.1 would reward; 0 or"):
        mix_penalty(ScalarMix.init(2), -0.1)
    with pytest.raises(ValueError, match="no layers to mix"):
        mix_layers([], jnp.ones(1), jnp.ones(()))
    with pytest.raises(
        ValueError, match=r"2 layers .* weights of shape \(2,\), not \(3,\)"
    ):
        mix_layers([layer, layer], jnp.ones(3), jnp.ones(()))
    with pytest.raises(
        ValueError, match=r"over 'rows'; did you mean \"row\"\? scopes: batch"
    ):
        normalise_layer(layer, MASK, over="rows")
