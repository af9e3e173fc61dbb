# SPDX-License-Identifier: Apache-2.0
"""The softmax by blocks is the dense one, and never holds all of it."""

from collections.abc import Iterator

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from elmo_jax.softmax import BLOCK, log_normaliser, scores_of

P, N = 5, 6


def draw(num_words: int, scale: float = 1.0, num_contexts: int = N):
    rng = np.random.default_rng(num_words)
    weights = rng.normal(size=(num_words, P)) * scale
    bias = rng.normal(size=num_words) * scale
    contexts = rng.normal(size=(num_contexts, P))
    return tuple(array.astype(np.float32) for array in (weights, bias, contexts))


def dense(weights, bias, contexts) -> np.ndarray:
    """log Σ exp of all scores, in float64."""
    scores = contexts.astype(np.float64) @ weights.astype(np.float64).T + bias
    highest = scores.max(axis=1, keepdims=True)
    return (highest + np.log(np.exp(scores - highest).sum(1, keepdims=True)))[:, 0]


def dense_gradients(weights, bias, contexts):
    """Those of the sum of all normalisers, in float64."""
    scores = contexts.astype(np.float64) @ weights.astype(np.float64).T + bias
    shares = np.exp(scores - dense(weights, bias, contexts)[:, None])
    return shares.T @ contexts, shares.sum(0), shares @ weights


# Fewer words than a block, as many, one more, one less than two, many and a rest.
@pytest.mark.parametrize("num_words", [1, 7, 8, 9, 15, 61])
def test_values_and_gradients_are_the_dense_ones(num_words):
    arrays = draw(num_words)

    @jax.jit
    def run(*arrays):
        value, pull = jax.vjp(lambda *a: log_normaliser(*a, block=8), *arrays)
        return value, pull(jnp.ones(N))

    values, gradients = run(*arrays)
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, dense(*arrays), rtol=0, atol=1e-5)
    for ours, expected in zip(gradients, dense_gradients(*arrays), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_the_default_block_and_a_word_more():
    arrays = draw(BLOCK + 1)
    np.testing.assert_allclose(
        jax.jit(log_normaliser)(*arrays), dense(*arrays), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("rising", [True, False])
def test_huge_scores_do_not_overflow(rising):
    """Up to 1e4 and down to -1e4, the highest in the first block or in the last."""
    run = jax.jit(lambda *arrays: log_normaliser(*arrays, block=8))
    bias = np.linspace(-1e4, 1e4, 21, dtype=np.float32)[:: 1 if rising else -1]
    weights, _, contexts = draw(21, scale=1e-3)
    got = run(weights, bias, contexts)
    np.testing.assert_allclose(got, dense(weights, bias, contexts), rtol=1e-6)
    alike = np.full(21, -1e4, np.float32)
    got = run(np.zeros_like(weights), alike, contexts)
    np.testing.assert_allclose(got, np.log(21) - 1e4, rtol=1e-6)
    large = 2e3 * np.sign(weights)
    np.testing.assert_allclose(
        run(large, bias, contexts), dense(large, bias, contexts), rtol=1e-6
    )
    gradients = jax.grad(
        lambda *arrays: log_normaliser(*arrays, block=8).sum(), argnums=(0, 1, 2)
    )(large, bias, contexts)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_allclose(gradients[1].sum(), N, rtol=1e-5)


def test_scores_of_are_the_rows():
    weights, bias, contexts = draw(9)
    ids = np.array([0, 8, 3, 3, 1, 0], np.int32)
    expected = (contexts * weights[ids]).sum(1) + bias[ids]
    got = scores_of(*map(jnp.asarray, (weights, bias, contexts, ids)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def shapes_in(jaxpr: jax.extend.core.Jaxpr) -> Iterator[tuple[int, ...]]:
    """Yield the shape of everything that a program computes, loops and all."""
    for equation in jaxpr.eqns:
        yield from (v.aval.shape for v in equation.outvars if hasattr(v.aval, "shape"))
        for inner in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda leaf: isinstance(
                leaf, jax.extend.core.Jaxpr | jax.extend.core.ClosedJaxpr
            ),
        ):
            if isinstance(inner, jax.extend.core.ClosedJaxpr):
                inner = inner.jaxpr
            if isinstance(inner, jax.extend.core.Jaxpr):
                yield from shapes_in(inner)


@pytest.mark.parametrize("with_gradient", [False, True])
def test_no_array_has_a_score_for_every_word(with_gradient):
    """Nor does the compiled program have room for them."""
    num_words, num_contexts = 50_021, 211
    arrays = draw(num_words, num_contexts=num_contexts)

    def run(*arrays):
        return log_normaliser(*arrays, block=512).sum()

    if with_gradient:
        run = jax.grad(run, argnums=(0, 1, 2))
    shapes = list(shapes_in(jax.make_jaxpr(run)(*arrays).jaxpr))
    assert (512, num_contexts) in shapes
    assert max(map(np.prod, shapes)) <= num_words * P
    memory = jax.jit(run).lower(*arrays).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4 * num_words * num_contexts / 8
