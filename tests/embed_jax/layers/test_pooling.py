# SPDX-License-Identifier: Apache-2.0
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_jax.layers.pooling import (
    SENTENCE_POOLS,
    WORD_POOLS,
    combine_sentence_parts,
    pool_sentence,
    pool_words,
    pooled_width,
)

NUM_PIECES, DIM = 9, 3
PADDINGS = st.sampled_from([0.0, -1e30, np.inf, np.nan])


@st.composite
def rows_of_words(draw):
    """Word ids of one row: -1 around, words of 0 to 4 pieces in ascending order."""
    before = draw(st.integers(0, 2))
    sizes = draw(st.lists(st.integers(0, 4), max_size=6))
    ids = [-1] * before + [word for word, size in enumerate(sizes) for _ in range(size)]
    return (ids + [-1] * NUM_PIECES)[:NUM_PIECES]


BATCHES = st.lists(rows_of_words(), min_size=2, max_size=2).map(
    lambda rows: np.array(rows, np.int32)
)
MASKS = st.lists(
    st.lists(st.booleans(), min_size=NUM_PIECES, max_size=NUM_PIECES),
    min_size=2,
    max_size=2,
).map(np.array)


def random_vectors(real, padding=0.0, seed=0):
    """Float32 vectors at `real` positions, `padding` elsewhere."""
    vectors = np.random.default_rng(seed).normal(size=(*real.shape, DIM)) - 5
    return np.where(real[..., None], vectors, padding).astype(np.float32)


def pool_slowly(pieces, pool):
    """Pool the pieces of one word or the positions of one sentence, in float64."""
    pieces = pieces.astype(np.float64)
    if not len(pieces):
        return np.zeros(pooled_width(DIM, pool))
    match pool:
        case "first":
            return pieces[0]
        case "last":
            return pieces[-1]
        case "first_last":
            return np.concatenate([pieces[0], pieces[-1]])
        case "mean":
            return pieces.mean(0)
        case "mean_sqrt_len":
            return pieces.sum(0) / np.sqrt(len(pieces))
        case "max":
            return pieces.max(0)
    raise AssertionError(pool)


@partial(jax.jit, static_argnames="pool")
def words_and_slope(vectors, word_ids, pool):
    def loss(vectors):
        pooled = pool_words(vectors, word_ids, pool)
        return jnp.sum(pooled**2), pooled

    (_, pooled), slope = jax.value_and_grad(loss, has_aux=True)(vectors)
    return pooled, slope


@partial(jax.jit, static_argnames="pool")
def sentence_and_slope(vectors, mask, pool):
    def loss(vectors):
        pooled = pool_sentence(vectors, mask, pool)
        return jnp.sum(pooled**2), pooled

    (_, pooled), slope = jax.value_and_grad(loss, has_aux=True)(vectors)
    return pooled, slope


@pytest.mark.parametrize("pool", WORD_POOLS)
@given(word_ids=BATCHES)
def test_words_agree_with_a_slow_loop(pool, word_ids):
    vectors = random_vectors(word_ids >= 0)
    pooled, _ = words_and_slope(vectors, word_ids, pool)
    assert pooled.shape == (*word_ids.shape, pooled_width(DIM, pool))
    for row, ids in enumerate(word_ids):
        for word in range(NUM_PIECES):
            expected = pool_slowly(vectors[row, ids == word], pool)
            if pool == "mean":
                np.testing.assert_allclose(pooled[row, word], expected, rtol=1e-6)
            else:
                np.testing.assert_array_equal(pooled[row, word], expected)


@pytest.mark.parametrize("pool", WORD_POOLS)
@given(word_ids=BATCHES, padding=PADDINGS)
def test_padding_changes_neither_words_nor_gradients(pool, word_ids, padding):
    clean, spoilt = (random_vectors(word_ids >= 0, content) for content in (0, padding))
    clean, clean_slope = words_and_slope(clean, word_ids, pool)
    pooled, slope = words_and_slope(spoilt, word_ids, pool)
    np.testing.assert_array_equal(pooled, clean)
    np.testing.assert_array_equal(slope, clean_slope)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[word_ids < 0], 0)


@pytest.mark.parametrize("pool", WORD_POOLS)
def test_num_words_only_cuts_the_result(pool):
    word_ids = jnp.array([[-1, 0, 0, 2, 3, 3, 3, -1]])
    vectors = jnp.array(random_vectors(np.ones((1, 8), bool)))
    jitted = jax.jit(pool_words, static_argnums=(2, 3))
    whole = pool_words(vectors, word_ids, pool)
    for num_words in (1, 3, 4, 20):
        cut = jitted(vectors, word_ids, pool, num_words)
        assert cut.shape[1] == num_words
        shared = min(num_words, 8)
        np.testing.assert_allclose(cut[:, :shared], whole[:, :shared], rtol=1e-6)
        np.testing.assert_array_equal(cut[:, 4:], 0)


def test_gradients_of_mean_and_max_reach_the_right_pieces():
    vectors = jnp.array([[[1.0], [4.0], [2.0], [9.0]]])
    word_ids = jnp.array([[0, 0, 1, -1]])
    slope_of = {
        pool: jax.grad(lambda v, p=pool: pool_words(v, word_ids, p).sum())(vectors)
        for pool in ("mean", "max")
    }
    np.testing.assert_allclose(slope_of["mean"][0, :, 0], [0.5, 0.5, 1, 0])
    np.testing.assert_allclose(slope_of["max"][0, :, 0], [0, 1, 1, 0])


def test_bfloat16_pieces():
    vectors = jnp.array([[[256.0], [1.0], [1.0]]], jnp.bfloat16)
    word_ids = jnp.array([[0, 0, 0]])
    for pool in ("first", "last", "max", "first_last"):
        assert pool_words(vectors, word_ids, pool).dtype == jnp.bfloat16
    mean = pool_words(vectors, word_ids, "mean")
    assert mean.dtype == jnp.float32
    np.testing.assert_allclose(mean[0, 0], 86.0, rtol=1e-6)
    all_pooled = jnp.array([[True, True, True]])
    np.testing.assert_allclose(pool_sentence(vectors, all_pooled, "mean"), [[86.0]])


@pytest.mark.parametrize("pool", SENTENCE_POOLS)
@given(mask=MASKS, padding=PADDINGS)
def test_sentences_agree_with_a_slow_loop(pool, mask, padding):
    real = mask.copy()
    real[:, 0] = True  # `cls` reads it, pooled or not
    vectors = random_vectors(real, padding)
    pooled, _ = sentence_and_slope(vectors, mask, pool)
    for row in range(len(mask)):
        if pool == "cls":
            np.testing.assert_array_equal(pooled[row], vectors[row, 0])
        else:
            expected = pool_slowly(vectors[row, mask[row]], pool)
            np.testing.assert_allclose(pooled[row], expected, rtol=1e-6)


@pytest.mark.parametrize("pool", SENTENCE_POOLS)
@given(mask=MASKS, padding=PADDINGS)
def test_gradients_of_sentences_are_finite(pool, mask, padding):
    mask[:, 0] |= pool == "cls"
    _, slope = sentence_and_slope(random_vectors(mask, padding), mask, pool)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[~mask], 0)


@pytest.mark.parametrize("pool", SENTENCE_POOLS)
@given(mask=MASKS, cuts=st.sets(st.integers(1, NUM_PIECES - 1)))
def test_parts_of_a_sentence_combine_to_the_whole(pool, mask, cuts):
    mask = mask[:1]
    vectors = jnp.array(random_vectors(np.ones_like(mask)))
    pool_range = partial(pool_sentence, pool=pool)
    whole = pool_range(vectors, jnp.array(mask))[0]
    ends = [0, *sorted(cuts), NUM_PIECES]
    parts, counts = [], []
    for start, end in itertools.pairwise(ends):
        part_mask = mask[:, start:end]
        parts.append(pool_range(vectors[:, start:end], jnp.array(part_mask))[0])
        counts.append(part_mask.sum())
    combined = combine_sentence_parts(np.array(parts), np.array(counts), pool)
    assert combined.dtype == np.float32
    np.testing.assert_allclose(combined, whole, rtol=1e-5)


def test_wrong_parts():
    with pytest.raises(ValueError, match="not 0 parts and 0 counts"):
        combine_sentence_parts(np.zeros((0, 2)), np.zeros(0, int), "mean")


def test_widths():
    assert pooled_width(4, "first_last") == 8
    for pool in {*WORD_POOLS, *SENTENCE_POOLS} - {"first_last"}:
        assert pooled_width(4, pool) == 4


def test_unknown_pools():
    vectors, ids = jnp.ones((1, 2, 3)), jnp.zeros((1, 2), int)
    message = (
        r"no pool 'fist'; did you mean \"first\".*\? pools: first, last, mean, max"
    )
    with pytest.raises(ValueError, match=message):
        pool_words(vectors, ids, "fist")
    with pytest.raises(ValueError, match=r"no pool 'first'; pools: cls, mean, max"):
        pool_sentence(vectors, ids == 0, "first")
    with pytest.raises(ValueError, match="no pool 'avg'"):
        pooled_width(4, "avg")
    with pytest.raises(ValueError, match="no pool 'avg'"):
        combine_sentence_parts(np.ones((1, 2)), np.ones(1, int), "avg")
