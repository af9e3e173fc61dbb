# SPDX-License-Identifier: Apache-2.0
"""Vectors of words out of context: the oracle's, and computed once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elmo_jax import ElmoTokenizer
from elmo_jax.bilm import word_vectors
from elmo_jax.type_table import PORTION, TypeTable
from tests.elmo_jax.oracle_model import oracle_options, oracle_weights
from tests.elmo_jax.sentences import (
    FORWARD_TABLE,
    ONE_BLOCK,
    VOCABULARY,
    make_params,
    make_tokenizer,
)
from tests.oracles import bilm

FLOAT32 = jnp.dtype(jnp.float32)
PARAMS = make_params(ONE_BLOCK)
CAPACITY = 1000


class Counting(ElmoTokenizer):
    """A tokeniser that keeps what it spelled."""

    def __init__(self, config):
        super().__init__(config, VOCABULARY)
        self.spelled = []

    def encode_types(self, words):
        self.spelled += words
        return super().encode_types(words)


@pytest.fixture
def tokenizer():
    return Counting(ONE_BLOCK)


def table_of(tokenizer, capacity=CAPACITY, params=PARAMS) -> TypeTable:
    return TypeTable(params, tokenizer, dtype=FLOAT32, capacity=capacity)


def expected_vectors(words, params=PARAMS) -> np.ndarray:
    options, weights = oracle_options(params.config), oracle_weights(params)
    ids = VOCABULARY.ids
    return np.stack([bilm.token_vector(options, weights, w, ids) for w in words])


def check_found(table: TypeTable, words, expected=None):
    rows = table.find(words)
    assert rows.dtype == np.int32
    assert len(set(rows.tolist())) == len(words)
    if expected is None:
        expected = expected_vectors(words)
    np.testing.assert_allclose(table.vectors[rows], expected, rtol=0, atol=1e-6)


def test_a_word_is_computed_once(tokenizer):
    table = table_of(tokenizer)
    check_found(table, ["<S>", "</S>", "the", "bank"])
    check_found(table, ["the"])
    check_found(table, ["river", "</S>", "bank", "Zürich"])
    check_found(table, ["Zürich", "the", "<S>"])
    assert sorted(tokenizer.spelled) == sorted(
        ["<S>", "</S>", "the", "bank", "river", "Zürich"]
    )


def test_long_and_odd_words_among_short_ones(tokenizer):
    words = ["<S>", "", "a", "x" * 49, "€" * 20, "\ud800", "😀" * 12, "</S>", "<UNK>"]
    check_found(table_of(tokenizer), words)


def test_more_words_than_are_computed_at_a_time(tokenizer):
    words = [f"w{number}" for number in range(PORTION + 50)]
    table = table_of(tokenizer)
    characters = tokenizer.encode_types(words)
    expected = jax.jit(
        lambda params, types: word_vectors(
            params.config, params.encoder, types, FLOAT32
        )
    )(PARAMS, characters)
    np.testing.assert_allclose(
        expected[::50], expected_vectors(words[::50]), rtol=0, atol=1e-6
    )
    tokenizer.spelled.clear()
    check_found(table, words, expected)
    check_found(table, words[::-1], expected[::-1])
    assert sorted(tokenizer.spelled) == sorted(words)


def test_a_full_table_forgets_and_is_still_right(tokenizer):
    table = table_of(tokenizer, capacity=6)
    check_found(table, ["<S>", "</S>", "the", "bank"])
    tokenizer.spelled.clear()
    # Two of these four are there, but there is no room for the others.
    check_found(table, ["<S>", "the", "of", "river", "ran"])
    assert sorted(tokenizer.spelled) == sorted(["<S>", "the", "of", "river", "ran"])
    check_found(table, ["we"])
    check_found(table, ["<S>", "the", "of", "river", "ran", "we"])
    assert len(tokenizer.spelled) == 6
    check_found(table, ["bank", "</S>", "the"])
    assert len(tokenizer.spelled) == 9


def test_more_words_than_it_holds_are_refused(tokenizer):
    table = table_of(tokenizer, capacity=6)
    with pytest.raises(ValueError, match=r"7 distinct words .* 6; lower max_length"):
        table.find(list("abcdefg"))
    check_found(table, list("abcdef"))


def test_a_word_table_is_looked_up():
    params = make_params(FORWARD_TABLE)
    table = table_of(make_tokenizer(FORWARD_TABLE), params=params)
    words = ["<S>", "</S>", "the", "nowhere", "<UNK>", "x"]
    check_found(table, words, expected_vectors(words, params))
    np.testing.assert_array_equal(*table.vectors[table.find(["nowhere", "<UNK>"])])


def test_the_table_is_where_the_parameters_are(tokenizer):
    device = jax.devices()[3]
    table = table_of(tokenizer, params=jax.device_put(PARAMS, device))
    assert table.vectors.devices() == {device}
    check_found(table, ["the", "bank"])
    assert table.vectors.devices() == {device}
