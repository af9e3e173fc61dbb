# SPDX-License-Identifier: Apache-2.0
import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.kneser_ney import NO_WORD, KneserNeyTrigram, estimate_discounts

BEGIN, END, UNKNOWN = 0, 1, 2
SIZE = 7

SENTENCES = st.lists(
    st.lists(st.integers(2, SIZE - 1), max_size=6), min_size=1, max_size=12
)


def arrays(sentences):
    return [np.array(sentence, np.int32) for sentence in sentences]


def fit(sentences, size=SIZE, **options):
    return KneserNeyTrigram.fit(arrays(sentences), size, BEGIN, END, **options)


class SlowModel:
    """The formulas word for word, with dictionaries."""

    def __init__(self, sentences, size):
        self.size = size
        trigrams = Counter()
        firsts = Counter()
        for sentence in sentences:
            words = [BEGIN, *sentence, END]
            firsts[BEGIN, words[1]] += 1
            trigrams.update(zip(words, words[1:], words[2:], strict=False))
        bigrams = Counter((v, w) for _, v, w in trigrams)
        bigrams.update(firsts)
        unigrams = Counter((w,) for _, w in bigrams)
        self.orders = [self.prepare(counts) for counts in (unigrams, bigrams, trigrams)]

    @staticmethod
    def prepare(counts):
        n = Counter(counts.values())
        discounts = {0: 0.0, 1: 0.5, 2: 1.0, 3: 1.5}
        if n[1] and n[2] and n[3] and n[4]:
            y = n[1] / (n[1] + 2 * n[2])
            found = {k: k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)}
            if all(0 < found[k] <= k for k in found):
                discounts = {0: 0.0, **found}
        totals, taken = defaultdict(int), defaultdict(float)
        for ngram, count in counts.items():
            totals[ngram[:-1]] += count
            taken[ngram[:-1]] += discounts[min(count, 3)]
        return counts, discounts, totals, taken

    def probability(self, context, word):
        if word == BEGIN:
            return 0.0
        counts, discounts, totals, taken = self.orders[len(context)]
        uniform = 1 / (self.size - 1)
        lower = self.probability(context[1:], word) if context else uniform
        total = totals.get(context, 0)
        if not total:
            return lower
        count = counts.get((*context, word), 0)
        first = (count - discounts[min(count, 3)]) / total
        return first + taken[context] / total * lower

    def log_probs(self, sentences):
        result = []
        for sentence in sentences:
            words = [BEGIN, *sentence, END]
            for place in range(1, len(words)):
                context = tuple(words[max(0, place - 2) : place])
                result.append(math.log(self.probability(context, words[place])))
        return result


def contexts(size):
    """All that can precede a word: `<S>`, `<S>` and a word, two words."""
    words = range(2, size)
    return [
        (NO_WORD, BEGIN),
        *((BEGIN, word) for word in words),
        *itertools.product(words, words),
    ]


def zipf_sentences(count, size, seed=0):
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, size - 1)
    return [
        rng.choice(np.arange(2, size), length, p=weights / weights.sum()).tolist()
        for length in rng.integers(0, 12, count)
    ]


def assert_sums_to_one(model, size):
    first, second = np.array(contexts(size)).T
    words = np.tile(np.arange(size), len(first))
    probabilities = model.probabilities(
        np.repeat(first, size), np.repeat(second, size), words
    ).reshape(len(first), size)
    assert (probabilities[:, BEGIN] == 0).all()
    assert (np.delete(probabilities, BEGIN, axis=1) > 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)


@given(SENTENCES, st.booleans())
def test_every_context_sums_to_one(sentences, backward):
    assert_sums_to_one(fit(sentences, backward=backward), SIZE)


def test_sums_to_one_with_the_data_s_discounts():
    size = 40
    model = fit(zipf_sentences(200, size), size)
    assert model.trigrams.estimated
    assert model.bigrams.estimated
    assert_sums_to_one(model, size)


@given(SENTENCES, SENTENCES)
def test_agrees_with_dictionaries(sentences, held_out):
    slow = SlowModel(sentences, SIZE)
    np.testing.assert_allclose(
        fit(sentences).log_probs(arrays(held_out)),
        slow.log_probs(held_out),
        rtol=1e-10,
    )


def test_agrees_with_dictionaries_on_more_text():
    size = 60
    sentences, held_out = zipf_sentences(300, size), zipf_sentences(100, size, seed=1)
    model = fit(sentences, size)
    assert model.trigrams.estimated
    assert model.bigrams.estimated
    np.testing.assert_allclose(
        model.log_probs(arrays(held_out)),
        SlowModel(sentences, size).log_probs(held_out),
        rtol=1e-10,
    )


def test_example_by_hand():
    # a b . and a c . : too little for counts-of-counts, so 1/2, 1 and 3/2.
    a, b, c = 3, 4, 5
    model = fit([[a, b], [a, c]], size=6)
    # Different words before each: a 1, b 1, c 1, end 2; five words share the rest.
    np.testing.assert_allclose(model.unigrams, [0, 0.3, 0.1, 0.2, 0.2, 0.2])
    first = (2 - 1) / 2 + 1 / 2 * 0.2  # a begins two sentences: a plain count
    second = 0.5 / 2 + 0.5 * (0.5 / 2 + 0.5 * 0.2)
    end = 0.5 + 0.5 * (0.5 + 0.5 * 0.3)
    log_probs = model.log_probs(arrays([[a, b]]))
    np.testing.assert_allclose(np.exp(log_probs), [first, second, end])
    assert model.perplexity(arrays([[a, b]])) == pytest.approx(
        (first * second * end) ** (-1 / 3)
    )


def test_discounts_by_hand():
    counts = np.array([1] * 10 + [2] * 5 + [3] * 3 + [4] * 2 + [9])
    assert estimate_discounts(counts) == pytest.approx((0.5, 1.1, 3 - 4 / 3))
    assert estimate_discounts(np.array([1, 1, 2, 3])) is None
    assert estimate_discounts(np.array([1, 2, *[3] * 50, 4])) is None


@given(SENTENCES, SENTENCES)
def test_backward_is_the_model_of_reversed_sentences(sentences, held_out):
    reverse = [sentence[::-1] for sentence in sentences]
    np.testing.assert_array_equal(
        fit(sentences, backward=True).log_probs(arrays(held_out)),
        fit(reverse).log_probs(arrays([sentence[::-1] for sentence in held_out])),
    )


def test_refuses_markers_strange_ids_and_nothing():
    with pytest.raises(ValueError, match="boundary marker"):
        fit([[3, END]])
    with pytest.raises(ValueError, match="vocabulary holds 7"):
        fit([[3, SIZE]])
    with pytest.raises(ValueError, match="no sentences"):
        fit([])
    with pytest.raises(ValueError, match="64 bits"):
        fit([[3]], size=2**21 + 1)
