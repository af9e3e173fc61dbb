# SPDX-License-Identifier: Apache-2.0
"""Negatives are drawn as the slow sampler draws them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.sampled_softmax import (
    expected_counts,
    log_uniform_probabilities,
    sample_unique,
)
from train.families.elmo.negatives import NUM_DIRECTIONS, draw_negatives


def draw_many(num_negatives: int, vocab_size: int, times: int, seed: int = 0):
    """Return ids `[times * 2, K]` and tries `[times * 2]`."""
    rng = np.random.default_rng(seed)
    drawn = [draw_negatives(rng, num_negatives, vocab_size) for _ in range(times)]
    return (
        np.concatenate([negatives.ids for negatives in drawn]),
        np.concatenate([negatives.num_tries for negatives in drawn]),
    )


@given(st.integers(2, 300), st.floats(0, 1), st.integers(0, 10))
def test_words_are_distinct_and_of_the_vocabulary(vocab_size, share, seed):
    num_negatives = 1 + int(share * (vocab_size - 2))
    ids, num_tries = draw_negatives(
        np.random.default_rng(seed), num_negatives, vocab_size
    )
    assert ids.shape == (NUM_DIRECTIONS, num_negatives)
    assert ids.dtype == np.int32
    assert num_tries.dtype == np.float32
    assert all(len(set(row)) == num_negatives for row in ids.tolist())
    assert 0 <= ids.min() <= ids.max() < vocab_size
    assert (num_tries >= num_negatives).all()


def test_one_draw_is_log_uniform():
    V, times = 20, 4000
    ids, num_tries = draw_many(1, V, times)
    shares = np.bincount(ids.ravel(), minlength=V) / ids.size
    chances = log_uniform_probabilities(V)
    deviation = np.sqrt(chances * (1 - chances) / ids.size)
    assert (np.abs(shares - chances) < 5 * deviation).all()
    assert (num_tries == 1).all()


def test_words_and_tries_are_distributed_as_those_of_the_slow_sampler():
    V, K, times = 30, 12, 3000
    ids, num_tries = draw_many(K, V, times)
    rng = np.random.default_rng(1)
    slow = [sample_unique(rng, K, V) for _ in range(times)]
    slow_ids = np.stack([words for words, _ in slow])
    slow_tries = np.array([tries for _, tries in slow])
    error = np.sqrt(num_tries.var() / len(num_tries) + slow_tries.var() / times)
    assert abs(num_tries.mean() - slow_tries.mean()) < 5 * error
    assert abs(num_tries.std() / slow_tries.std() - 1) < 0.1
    for quantile in (0.1, 0.5, 0.9):
        ours, theirs = (np.quantile(n, quantile) for n in (num_tries, slow_tries))
        assert abs(ours - theirs) <= 1
    ours, theirs = (
        np.bincount(words.ravel(), minlength=V) / len(words)
        for words in (ids, slow_ids)
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=5 * np.sqrt(0.5 / times))
    # The order is that of their finding: what is found first is what is drawn first.
    first = np.bincount(ids[:, 0], minlength=V) / len(ids)
    chances = log_uniform_probabilities(V)
    np.testing.assert_allclose(first, chances, rtol=0, atol=5 * np.sqrt(0.1 / times))


def test_tries_tell_how_often_a_word_is_among_the_negatives():
    """The expected counts, which the loss takes out again, are those of these draws."""
    V, K = 50, 20
    ids, num_tries = draw_many(K, V, 3000)
    shares = np.bincount(ids.ravel(), minlength=V) / len(ids)
    expected = np.mean([expected_counts(int(n), V) for n in num_tries], axis=0)
    np.testing.assert_allclose(shares, expected, rtol=0, atol=0.03)


def test_directions_are_drawn_apart_and_a_seed_draws_the_same():
    first, again = (
        draw_negatives(np.random.default_rng(3), 20, 1000) for _ in range(2)
    )
    np.testing.assert_array_equal(first.ids, again.ids)
    assert set(first.ids[0].tolist()) != set(first.ids[1].tolist())


@pytest.mark.parametrize("num_negatives", [-1, 0, 10, 11])
def test_more_words_than_there_are_cannot_be_drawn(num_negatives):
    with pytest.raises(
        ValueError, match=rf"{num_negatives} negatives cannot be drawn from 10 words"
    ):
        draw_negatives(np.random.default_rng(0), num_negatives, 10)
