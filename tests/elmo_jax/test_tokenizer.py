# SPDX-License-Identifier: Apache-2.0
"""Sentences as batches: each distinct word once, boundaries nowhere, nothing lost."""

import dataclasses
import inspect
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_jax import TINY, ElmoTokenizer, Vocabulary
from elmo_jax.characters import character_rows
from elmo_jax.tokenizer import split_words

VOCABULARY = Vocabulary(("</S>", "the", "<UNK>", "bank", "<S>"))
TABLE = dataclasses.replace(TINY, char_cnn=None, vocab_size=5)

sentences_of_words = st.lists(
    st.lists(st.sampled_from(["a", "bank", "<S>", "</S>", "", "é", "x" * 60])),
    max_size=5,
)


def test_a_batch_by_hand():
    tokens = ElmoTokenizer(TINY)([["a", "bank", "a"], [], ["bank"]])
    np.testing.assert_array_equal(
        tokens.types, character_rows(["<S>", "</S>", "a", "bank"], length=9)
    )
    assert tokens.words.tolist() == [[2, 3, 2], [0, 0, 0], [3, 0, 0]]
    real = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_array_equal(tokens.mask, real)
    starts = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_array_equal(tokens.starts, starts)
    ends = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_array_equal(tokens.ends, ends)
    assert tokens.types.dtype == tokens.words.dtype == np.int32


@given(sentences_of_words, st.integers(0, 3))
def test_every_position_is_its_word(sentences, extra):
    longest = max(map(len, sentences), default=0)
    pad_to = None if extra == 0 else max(longest, 1) + extra - 1
    tokens = ElmoTokenizer(TINY)(sentences, pad_to=pad_to)
    # No sentence has no position, and an empty one a place for its vector.
    shortest = 1 if sentences else 0
    length = max(longest, shortest) if pad_to is None else pad_to
    assert tokens.words.shape == (len(sentences), length)
    distinct = {"<S>", "</S>"}.union(*sentences)
    most = len(sentences) * length + 2
    assert len(tokens.types) >= (len(distinct) if pad_to is None else most)
    assert len(tokens.types) == len(distinct) or pad_to is not None
    for row, sentence in enumerate(sentences):
        places = np.flatnonzero(tokens.mask[row])
        np.testing.assert_array_equal(places, np.arange(len(sentence)))
        np.testing.assert_array_equal(
            tokens.types[tokens.words[row, places]],
            character_rows(sentence, length=tokens.types.shape[1]),
        )
        assert np.flatnonzero(tokens.starts[row]).tolist() == [0][: len(sentence)]
        ends = [len(sentence) - 1] if sentence else []
        assert np.flatnonzero(tokens.ends[row]).tolist() == ends


def test_a_word_table_gives_rows_of_the_vocabulary():
    tokens = ElmoTokenizer(TABLE, VOCABULARY)([["the", "river", "bank", "<S>"]])
    # Types begin with the boundaries; what the table lacks is <UNK>.
    assert tokens.types.tolist() == [4, 0, 1, 2, 3]
    assert tokens.words.tolist() == [[2, 3, 4, 0]]


def test_raw_text_is_split_as_the_corpus_of_the_weights_was():
    text = "She didn't like the U.S. bank (\"it's 5% & more\")."
    words = ["She", "didn", "'t", "like", "the", "U.S.", "bank", "(", '"', "it", "'s"]
    assert split_words(text) == [*words, "5", "%", "&", "more", '"', ")", "."]
    assert split_words("") == split_words(" \n") == []
    tokenizer = ElmoTokenizer(TINY)
    assert tokenizer.words(text) == split_words(text)
    # A list of words is taken at its word.
    given_words = ["didn't", "", "New York", "\u00a0", "<S>"]
    assert tokenizer.words(given_words) == given_words
    mixed = tokenizer(["didn't", ["didn't"]])
    assert mixed.mask.sum(axis=1).tolist() == [2, 1]


def test_another_way_to_split_may_be_given():
    tokenizer = ElmoTokenizer(TINY, split=str.split)
    assert tokenizer.words("didn't stop.") == ["didn't", "stop."]


def test_a_batch_without_sentences_has_its_boundaries():
    tokens = ElmoTokenizer(TINY)([])
    assert tokens.words.shape == (0, 0)
    assert len(tokens.types) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ElmoTokenizer(TABLE),
            "the model reads 5 words by their ids; pass the vocabulary that it was",
        ),
        (
            lambda: ElmoTokenizer(dataclasses.replace(TABLE, vocab_size=6), VOCABULARY),
            "the vocabulary has 5 words, the model's table 6; they do not belong",
        ),
        (
            lambda: ElmoTokenizer(TINY)("the bank"),
            "pass a list of sentences, not one str: [sentence]",
        ),
        (
            lambda: ElmoTokenizer(TINY)([["a"], ["a", "b", "c"]], pad_to=2),
            'sentence 1 has 3 words, more than 2; pass long="truncate"',
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared below)
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_without_a_position_are_refused():
    with pytest.raises(ValueError, match="pad_to must be at least 1, not 0"):
        ElmoTokenizer(TINY)([[]], pad_to=0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("le cafe\u0301 .", ["le", "cafe\u0301", "."]),
        ("cafe\u0301s, m\u0304\u0302a", ["cafe\u0301s", ",", "m\u0304\u0302a"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        # On no letter, a mark is what Moses makes of it.
        ("\u2764\ufe0flove", ["\u2764", "\ufe0f", "love"]),
        # Nor is any letter mistaken for one that stood for a mark.
        ("\u0252e\u0301\u0264", ["\u0252e\u0301\u0264"]),
    ],
)
def test_a_mark_stays_on_its_letter(text, words):
    assert split_words(text) == words


def test_decomposed_text_is_split_as_composed_text_is():
    composed = "L'été, un café (à Zürich) n'était-ce pas «ça» ?"
    words = split_words(unicodedata.normalize("NFD", composed))
    assert [unicodedata.normalize("NFC", word) for word in words] == split_words(
        composed
    )


TOKENIZERS = [ElmoTokenizer(TINY), ElmoTokenizer(TABLE, VOCABULARY)]


def test_the_pieces_of_a_sentence_are_its_words():
    for tokenizer in TOKENIZERS:
        assert tokenizer.pieces("the bank.") == ["the", "bank", "."]
        assert tokenizer.pieces(["New York", ""]) == ["New York", ""]
        with pytest.raises(ValueError, match="sentence 0: word 1 is None, not text"):
            inspect.unwrap(ElmoTokenizer.pieces)(tokenizer, ["a", None])


@given(sentences_of_words)
def test_rows_of_characters_are_read_as_their_words(sentences):
    tokenizer = ElmoTokenizer(TINY)
    cut = [[word[:48] for word in words] for words in sentences]
    for tokens in (
        tokenizer(sentences),
        tokenizer(sentences, pad_to=8, long="truncate"),
    ):
        longest = tokens.mask.shape[1]
        expected = [words[:longest] for words in cut]
        assert tokenizer.row_pieces(tokens) == expected
        assert tokenizer.decode(tokens) == [" ".join(words) for words in expected]


def test_a_letter_that_was_cut_is_no_error():
    (word,) = ElmoTokenizer(TINY).row_pieces(ElmoTokenizer(TINY)([["€" * 17]]))[0]
    assert word == "€" * 16


def test_rows_of_a_table_are_read_as_its_words():
    tokenizer = ElmoTokenizer(TABLE, VOCABULARY)
    tokens = tokenizer([["the", "river"], [], ["bank"]], pad_to=4)
    assert tokenizer.row_pieces(tokens) == [["the", "<UNK>"], [], ["bank"]]
    assert tokenizer.decode(tokens) == ["the <UNK>", "", "bank"]
    assert tokenizer.decode(tokenizer.encode_types(["the", "bank"])) == "the bank"
    characters = ElmoTokenizer(TINY)
    assert characters.decode(characters.encode_types(["é", "bank"])) == "é bank"


def test_vectors_of_types_are_no_words():
    tokens = ElmoTokenizer(TINY)([["a"]])
    with pytest.raises(ValueError, match="cannot be read as words"):
        ElmoTokenizer(TINY).decode(tokens._replace(types=np.zeros((3, 16))))


def test_a_tokeniser_says_what_it_is():
    characters, table = map(repr, TOKENIZERS)
    assert characters == (
        "elmo_jax.ElmoTokenizer(reads='characters', vocab_size=None, cased=True, "
        "max_length=None)"
    )
    assert table == (
        "elmo_jax.ElmoTokenizer(reads='words', vocab_size=5, cased=True, "
        "max_length=None)"
    )
