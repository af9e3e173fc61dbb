# SPDX-License-Identifier: Apache-2.0
"""Tokens are hidden at the published rates, and nothing else is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from train.families.bert.masking import choose, mask, quotas

VOCAB_SIZE, MASK_ID = 50, 4


def draw_rows(seed: int, num_rows: int, length: int, most: int):
    """Lay instances of random lengths in rows; the ends of each are specials."""
    rng = np.random.default_rng(seed)
    sequences = np.zeros((num_rows, length), np.int32)
    candidates = np.zeros((num_rows, length), bool)
    for row in range(num_rows):
        begin = 0
        for number in range(1, rng.integers(1, most + 1) + 1):
            end = begin + int(rng.integers(3, length))
            if end > length:
                break
            sequences[row, begin:end] = number
            candidates[row, begin + 1 : end - 1] = True
            if end - begin > 5:  # a special between two passages
                candidates[row, rng.integers(begin + 2, end - 2)] = False
            begin = end
    continues = candidates & (rng.random(sequences.shape) < 0.4)
    return sequences, candidates, continues, rng.random(sequences.shape, np.float32)


def instances_of(sequences: np.ndarray):
    """Yield the places of each instance."""
    for row, numbers in enumerate(sequences):
        for number in range(1, numbers.max() + 1):
            yield row, np.flatnonzero(numbers == number)


rows = st.tuples(
    st.integers(0, 1000), st.integers(1, 5), st.integers(4, 40), st.integers(1, 4)
)
rates = st.sampled_from([0.01, 0.15, 0.3, 0.5, 0.9])


@given(rows, rates)
def test_tokens_are_chosen_up_to_the_quota_of_their_instance(rows, rate):
    sequences, candidates, _, keys = draw_rows(*rows)
    chosen = choose(sequences, candidates, None, rate, keys)
    assert not (chosen & ~candidates).any()
    for row, places in instances_of(sequences):
        quota = max(1, round(len(places) * rate))
        can = candidates[row, places].sum()
        assert chosen[row, places].sum() == min(quota, can)
        # Those of the lowest keys, which is a random choice of all.
        free = keys[row, places][candidates[row, places] & ~chosen[row, places]]
        if chosen[row, places].any() and len(free):
            assert keys[row, places][chosen[row, places]].max() <= free.min()


def words_of(places, candidates, continues) -> list[list[int]]:
    """Group an instance's candidates into words; a word goes on where no gap is."""
    words: list[list[int]] = []
    for place in places:
        if not candidates[place]:
            continue
        if words and continues[place] and words[-1][-1] == place - 1:
            words[-1].append(place)
        else:
            words.append([place])
    return words


@given(rows, rates)
def test_whole_words_are_chosen_as_published(rows, rate):
    """All pieces of a word or none; one that exceeds the quota is passed over."""
    sequences, candidates, continues, keys = draw_rows(*rows)
    chosen = choose(sequences, candidates, continues, rate, keys)
    assert not (chosen & ~candidates).any()
    for row, places in instances_of(sequences):
        quota = max(1, round(len(places) * rate))
        words = words_of(places, candidates[row], continues[row])
        expected: list[int] = []
        for word in sorted(words, key=lambda word: keys[row, word[0]]):
            if len(expected) + len(word) <= quota:
                expected += word
        assert np.flatnonzero(chosen[row, places]).tolist() == sorted(
            np.searchsorted(places, expected)
        )


def test_quotas_are_those_of_the_published_program():
    """It rounds as Python does, and predicts one token at least."""
    lengths = np.arange(1, 513)
    expected = [max(1, round(n * 0.15)) for n in lengths.tolist()]
    assert quotas(lengths, 0.15).tolist() == expected
    assert quotas(np.array([128, 512]), 0.15).tolist() == [19, 77]


def many(seed: int = 0):
    rng = np.random.default_rng(seed)
    shape = 400, 100
    ids = rng.integers(5, VOCAB_SIZE, shape).astype(np.int32)
    chosen = np.zeros(shape, bool)
    chosen[:, 10:40] = True
    masked = mask(
        ids,
        chosen,
        MASK_ID,
        VOCAB_SIZE,
        33,
        rng.random(shape, np.float32),
        rng.integers(0, VOCAB_SIZE, shape, dtype=np.int32),
    )
    return ids, chosen, masked


def test_eight_in_ten_are_hidden_one_is_random_one_stays():
    ids, chosen, masked = many()
    before, after = ids[chosen], masked.ids[chosen]
    number = len(before)
    hidden = after == MASK_ID
    other = ~hidden & (after != before)
    # A random piece is the mask itself, or what stood there, once in the vocabulary.
    one = 1 / VOCAB_SIZE
    for share, expected in (
        (hidden, 0.8 + 0.1 * one),
        (other, 0.1 * (1 - 2 * one)),
        (~hidden & ~other, 0.1 + 0.1 * one),
    ):
        deviation = np.sqrt(expected * (1 - expected) / number)
        assert abs(share.mean() - expected) < 5 * deviation
    counts = np.bincount(after[other], minlength=VOCAB_SIZE)
    counts = np.delete(counts, MASK_ID)
    mean = counts.mean()
    # Specials are drawn too, as published; none more often than another.
    assert (np.abs(counts - mean) < 5 * np.sqrt(mean)).all()
    np.testing.assert_array_equal(masked.ids[~chosen], ids[~chosen])


def test_places_and_targets_tell_what_stood_there():
    ids, chosen, masked = many()
    np.testing.assert_array_equal(masked.weights.sum(axis=1), chosen.sum(axis=1))
    real = masked.weights > 0
    row = np.nonzero(real)[0]
    np.testing.assert_array_equal(
        masked.targets[real], ids[row, masked.positions[real]]
    )
    np.testing.assert_array_equal(
        masked.positions[real].reshape(400, 30), np.tile(np.arange(10, 40), (400, 1))
    )
    assert not masked.positions[~real].any()
    assert not masked.targets[~real].any()
