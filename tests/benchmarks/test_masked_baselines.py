# SPDX-License-Identifier: Apache-2.0
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import masked_baselines
from benchmarks.masked_baselines import (
    BOUNDARY,
    UNKNOWN,
    TwoSidedBigram,
    count_pieces,
    masked_neighbours,
    unigram_accuracy,
)

SIZE = 6

SENTENCES = st.lists(
    st.lists(st.integers(0, SIZE - 1), max_size=6), min_size=1, max_size=10
).filter(any)


def arrays(sentences):
    return [np.array(sentence, np.int32) for sentence in sentences]


def slow_discount(counts):
    n = Counter(counts)
    return n[1] / (n[1] + 2 * n[2]) if n[1] and n[2] else 0.5


class SlowModel:
    """The formulas word for word, with dictionaries and all pieces."""

    def __init__(self, sentences, size):
        self.size = size
        padded = [[BOUNDARY, *sentence, BOUNDARY] for sentence in sentences]
        pairs = Counter(
            pair for sentence in padded for pair in itertools.pairwise(sentence)
        )
        self.pieces = Counter(piece for sentence in sentences for piece in sentence)
        self.left = Counter({p: c for p, c in pairs.items() if p[1] != BOUNDARY})
        self.right = Counter({p: c for p, c in pairs.items() if p[0] != BOUNDARY})
        self.after = Counter()
        for (_, right), count in self.right.items():
            self.after[right] += count

    @staticmethod
    def smooth(counts, key, size):
        discount = slow_discount(counts.values())
        seen, total = len(counts), sum(counts.values())
        return (max(counts[key] - discount, 0) + discount * seen / size) / total

    @staticmethod
    def interpolate(pairs, pair, lower):
        discount = slow_discount(pairs.values())
        row = [count for (first, _), count in pairs.items() if first == pair[0]]
        if not row:
            return lower
        rest = discount * len(row) / sum(row)
        return max(pairs[pair] - discount, 0) / sum(row) + rest * lower

    def scores(self, left, right):
        result = []
        for piece in range(self.size):
            score = self.smooth(self.pieces, piece, self.size)
            if left != UNKNOWN:
                score = self.interpolate(self.left, (left, piece), score)
            if right != UNKNOWN:
                lower = self.smooth(self.after, right, self.size + 1)
                score *= self.interpolate(self.right, (piece, right), lower)
            result.append(score)
        return np.array(result)


def assert_same(sentences, size):
    """All pairs of neighbours: the best piece and every probability."""
    model = TwoSidedBigram.fit(arrays(sentences), size)
    slow = SlowModel(sentences, size)
    pairs = list(itertools.product(range(UNKNOWN, size), repeat=2))
    left, right = np.array(pairs).T
    expected = np.array([slow.scores(*pair) for pair in pairs])
    best = model.predict(left, right)
    np.testing.assert_allclose(
        expected[np.arange(len(pairs)), best], expected.max(1), rtol=1e-10
    )
    expected /= expected.sum(1, keepdims=True)
    log_probs = model.log_probs(
        np.repeat(left, size),
        np.repeat(right, size),
        np.tile(np.arange(size), len(pairs)),
    ).reshape(len(pairs), size)
    np.testing.assert_allclose(np.exp(log_probs), expected, rtol=1e-9)
    np.testing.assert_allclose(np.exp(log_probs).sum(1), 1, rtol=1e-9)


@given(SENTENCES)
def test_agrees_with_dictionaries(sentences):
    assert_same(sentences, SIZE)


def test_agrees_with_dictionaries_on_more_text(monkeypatch):
    monkeypatch.setattr(masked_baselines, "CHUNK", 100)
    rng = np.random.default_rng(0)
    size = 15
    weights = 1 / np.arange(1, size + 1)
    sentences = [
        rng.choice(size, length, p=weights / weights.sum()).tolist()
        for length in rng.integers(0, 9, 80)
    ]
    assert_same(sentences, size)


def test_example_by_hand():
    # Two pairs occur once and three twice: the discount is 2 / (2 + 2 * 3) = 1/4.
    sentences = [[0, 1], [0, 1], [2, 3]]
    model = TwoSidedBigram.fit(arrays(sentences), 4)
    # Pieces: 2, 2, 1, 1 of 6; discount 2 / (2 + 2 * 2) = 1/3, its 4/3 spread over 4.
    np.testing.assert_allclose(model.unigrams, [2 / 6, 2 / 6, 1 / 6, 1 / 6])
    # Left pairs: (edge 0) 2, (edge 2) 1, (0 1) 2, (2 3) 1: discount 2 / 6.
    after_zero = np.array([2, 2, 1, 1]) / 6 * (1 / 3) / 2
    after_zero[1] += (2 - 1 / 3) / 2
    log_probs = model.log_probs(np.zeros(4), np.full(4, UNKNOWN), np.arange(4))
    np.testing.assert_allclose(np.exp(log_probs), after_zero)
    left = np.array([0, BOUNDARY, BOUNDARY, 2, UNKNOWN])
    right = np.array([BOUNDARY, 1, 3, UNKNOWN, 3])
    np.testing.assert_array_equal(model.predict(left, right), [1, 0, 2, 3, 2])
    scores = model.evaluate(left, right, np.array([1, 0, 2, 0, 0]))
    assert scores.positions == 5
    assert scores.accuracy == pytest.approx(0.6)


def test_masked_neighbours_are_unknown():
    targets, left, right = masked_neighbours(
        arrays([[3, 4, 5], [], [1]]),
        [np.array([1, 1, 0], bool), np.zeros(0, bool), np.ones(1, bool)],
    )
    np.testing.assert_array_equal(targets, [3, 4, 1])
    np.testing.assert_array_equal(left, [BOUNDARY, UNKNOWN, BOUNDARY])
    np.testing.assert_array_equal(right, [UNKNOWN, 5, BOUNDARY])


def test_unigram_accuracy():
    counts = count_pieces(arrays([[2, 2], [1]]), 4)
    np.testing.assert_array_equal(counts, [0, 1, 2, 0])
    assert unigram_accuracy(counts, np.array([2, 1, 2, 3])) == 0.5


def test_refuses_ids_that_do_not_fit():
    for sentences in ([[SIZE]], [[-1]], [[]], [[2, SIZE + 1]]):
        with pytest.raises(ValueError, match="piece"):
            TwoSidedBigram.fit(arrays(sentences), SIZE)
    model = TwoSidedBigram.fit(arrays([[1]]), SIZE)
    with pytest.raises(ValueError, match="neighbours"):
        model.predict(np.array([SIZE]), np.array([0]))
