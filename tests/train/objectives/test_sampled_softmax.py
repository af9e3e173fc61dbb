# SPDX-License-Identifier: Apache-2.0
"""The sampled softmax is TensorFlow's, and leans towards the whole one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import sampled_softmax as oracle
from train.families.elmo.negatives import draw_negatives
from train.objectives.sampled_softmax import (
    log_expected_counts,
    sampled_softmax_losses,
)

V, P, B, T = 30, 4, 2, 3


def draw(seed: int = 0, scale: float = 1.0):
    """Return weights, bias, contexts and targets."""
    rng = np.random.default_rng(seed)
    arrays = rng.normal(size=(V, P)), rng.normal(size=V), rng.normal(size=(B, T, P))
    weights, bias, contexts = (scale * array.astype(np.float32) for array in arrays)
    return weights, bias, contexts, rng.integers(0, V, (B, T)).astype(np.int32)


@jax.jit
def run(weights, bias, contexts, targets, ids, num_tries):
    """Return losses, and the gradients of their mean."""

    def mean(*arrays):
        losses = sampled_softmax_losses(*arrays, targets, ids, num_tries)
        return losses.mean(), losses

    gradient = jax.value_and_grad(mean, argnums=(0, 1, 2), has_aux=True)
    (_, losses), gradients = gradient(weights, bias, contexts)
    return losses, gradients


def assert_close(ours, expected, tolerance: float = 1e-5):
    ours = np.asarray(ours, np.float64).reshape(expected.shape)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_losses_and_gradients_are_those_of_the_oracle(seed, scale):
    weights, bias, contexts, targets = draw(seed, scale)
    negatives = draw_negatives(np.random.default_rng(seed), 12, V)
    ids, num_tries = negatives.ids[0], negatives.num_tries[0]
    targets[0, 0] = ids[3]  # which is left out of the negatives here
    given = weights, bias, contexts.reshape(-1, P), targets.ravel(), ids, int(num_tries)
    given = (*(np.asarray(a, np.float64) for a in given[:3]), *given[3:])
    losses, gradients = run(weights, bias, contexts, targets, ids, num_tries)
    assert losses.dtype == jnp.float32
    assert_close(losses, oracle.sampled_softmax_losses(*given))
    expected = oracle.sampled_softmax_gradients(*given)
    for ours, theirs in zip(gradients, expected, strict=True):
        assert_close(ours, theirs)


def test_rows_that_are_read_stand_for_the_whole_table():
    """Words are corrected as those of the whole vocabulary, the most frequent too."""
    weights, bias, contexts, targets = draw()
    negatives = draw_negatives(np.random.default_rng(0), 5, V)
    ids, num_tries = negatives.ids[0], negatives.num_tries[0]
    targets[0, 0], targets[1, 2] = 0, V - 1
    read = np.unique([*targets.ravel(), *ids])
    assert len(read) < V
    # Filled up with rising numbers of no words, as `train.loop.sparse_rows` has them.
    rows = np.append(read, [V + 3, V + 4]).astype(np.int32)
    cut = np.zeros((len(rows), P), np.float32), np.zeros(len(rows), np.float32)
    cut[0][: len(read)], cut[1][: len(read)] = weights[read], bias[read]
    given = contexts, targets, ids, num_tries
    losses = sampled_softmax_losses(
        *map(jnp.asarray, (*cut, *given)), vocab_size=V, rows=jnp.asarray(rows)
    )
    whole = sampled_softmax_losses(*map(jnp.asarray, (weights, bias, *given)))
    np.testing.assert_allclose(losses, whole, rtol=1e-6)
    flat = contexts.reshape(-1, P), targets.ravel(), ids, int(num_tries)
    assert_close(losses, oracle.sampled_softmax_losses(weights, bias, *flat))


def test_expected_counts_are_exact_for_rare_words_too():
    num_words = 800_000
    for tries in (1, 8192, 30_000):
        ids = np.array([0, 1, 1000, num_words - 1], np.int32)
        ours = log_expected_counts(jnp.asarray(ids), jnp.float32(tries), num_words)
        expected = np.log(oracle.expected_counts(tries, num_words)[ids])
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def mean_gradient(num_negatives: int, times: int, corrected: bool = True):
    """Average the gradient over draws; one flat vector, and its standard error."""
    arrays = draw(1, 0.7)
    rng = np.random.default_rng(num_negatives)
    drawn = [draw_negatives(rng, num_negatives, V) for _ in range(times // 2)]
    ids = np.concatenate([d.ids for d in drawn])
    num_tries = np.concatenate([d.num_tries for d in drawn])
    if not corrected:
        num_tries = np.full_like(num_tries, 1e9)  # by which every count is one
    _, gradients = jax.vmap(run, in_axes=(*[None] * 4, 0, 0))(*arrays, ids, num_tries)
    flat = np.concatenate([np.asarray(g).reshape(times, -1) for g in gradients], axis=1)
    return flat.mean(axis=0), np.linalg.norm(flat.std(axis=0)) / np.sqrt(times)


def full_gradient() -> np.ndarray:
    weights, bias, contexts, targets = draw(1, 0.7)
    gradients = oracle.full_softmax_gradients(
        weights, bias, contexts.reshape(-1, P), targets.ravel()
    )
    return np.concatenate([gradient.ravel() for gradient in gradients])


def test_the_mean_gradient_tends_to_that_of_the_whole_vocabulary():
    full, times = full_gradient(), 800
    errors = {}
    for number in (3, 8, 16, V - 1):
        mean, noise = mean_gradient(number, times)
        errors[number] = np.linalg.norm(mean - full) / np.linalg.norm(full)
        # What is left is not the chance of the draws.
        assert noise / np.linalg.norm(full) < 0.05
    rising = [errors[number] for number in (V - 1, 16, 8, 3)]
    assert rising == sorted(rising)
    assert errors[V - 1] < 0.05
    uncorrected, _ = mean_gradient(16, times, corrected=False)
    error = np.linalg.norm(uncorrected - full) / np.linalg.norm(full)
    assert errors[16] < 0.5 * error
