# SPDX-License-Identifier: Apache-2.0
"""Words as rows of bytes: upstream's rows, the way back, and how short is enough."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_jax.characters import character_rows, sufficient_length
from tests.conftest import REPOSITORY
from tests.oracles import bilm

BEGIN_WORD, END_WORD, PADDING = 259, 260, 261

# Any str of Python: with lone surrogates, which are no characters of UTF-8.
words = st.text(st.characters(), max_size=30)


def spelled(row: np.ndarray) -> bytes:
    """Read a row back: the bytes between its two marks."""
    row = row.tolist()
    assert row[0] == BEGIN_WORD
    end = row.index(END_WORD)
    assert set(row[end + 1 :]) <= {PADDING}
    return bytes(character - 1 for character in row[1:end])


def test_rows_are_upstreams():
    path = REPOSITORY / "tests/fixtures/bilm_tf_golden/char_ids_golden.json"
    golden = json.loads(path.read_text(encoding="utf-8"))
    assert golden["inference"]
    assert golden["training_max5"]
    for case in golden["inference"]:
        assert character_rows([case["word"]])[0].tolist() == case["ids"], case
    for case in golden["training_max5"]:
        row = character_rows([case["word"]], max_characters=5)[0]
        assert (row - 1).tolist() == case["ids"], case


@given(st.lists(words, max_size=4), st.integers(3, 60))
def test_rows_round_trip_to_the_bytes(words, max_characters):
    rows = character_rows(words, max_characters)
    assert rows.shape == (len(words), max_characters)
    assert rows.dtype == np.int32
    for word, row in zip(words, rows, strict=True):
        assert spelled(row) == word.encode("utf-8", "ignore")[: max_characters - 2]


@given(words, st.integers(3, 60))
def test_rows_are_the_oracles(word, max_characters):
    (row,) = character_rows([word], max_characters)
    np.testing.assert_array_equal(row, bilm.character_ids(word, max_characters))


@pytest.mark.parametrize(
    ("word", "row"),
    [
        ("", [259, 260, 261, 261, 261, 261]),
        ("<S>", [259, 257, 260, 261, 261, 261]),
        ("</S>", [259, 258, 260, 261, 261, 261]),
        ("<s>", [259, 61, 116, 63, 260, 261]),
        ("<UNK>", [259, 61, 86, 79, 76, 260]),  # spelled, and cut
        ("aé€", [259, 98, 196, 170, 227, 260]),  # one of three bytes of the last
        ("\ud800a\udfff", [259, 98, 260, 261, 261, 261]),
        ("\0\x7f", [259, 1, 128, 260, 261, 261]),
    ],
)
def test_rows_of_odd_words(word, row):
    assert character_rows([word], max_characters=6)[0].tolist() == row


def test_no_words_make_no_rows():
    assert character_rows([]).shape == (0, 50)


@given(st.lists(words, max_size=5), st.integers(7, 60), st.integers(1, 7))
def test_a_sufficient_length_cuts_nothing_but_padding(words, max_characters, width):
    length = sufficient_length(words, max_characters, width)
    assert length <= max_characters
    full = character_rows(words, max_characters)
    short = character_rows(words, max_characters, length)
    np.testing.assert_array_equal(short, full[:, :length])
    assert (full[:, length:] == PADDING).all()
    if length < max_characters:
        # The window of padding alone, which the full row has too, has not been lost.
        assert (short[:, length - width :] == PADDING).all()


def test_a_sufficient_length_is_no_longer_than_needed():
    assert sufficient_length([], 50, 7) == 9
    assert sufficient_length(["abc", "€"], 50, 7) == 12
    assert sufficient_length(["a" * 41], 50, 7) == 50
    assert sufficient_length(["a" * 40], 50, 7) == 49
    assert sufficient_length(["\ud800"], 50, 1) == 3
