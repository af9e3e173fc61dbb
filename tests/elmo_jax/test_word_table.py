# SPDX-License-Identifier: Apache-2.0
"""A table of what the characters give is the same model for the words in it."""

import jax
import numpy as np
import pytest

import elmo_jax
from elmo_jax import Vocabulary
from tests.elmo_jax.published_model import (
    KINDS,
    OPTIONS,
    SENTENCES,
    WORDS,
    draw_softmax,
    draw_tensors,
    read_hdf5,
    write_model,
)
from tests.oracles import bilm

LONG = "antidisestablishmentarianism"  # longer than a word of this model may be


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    return elmo_jax.load(write_model(path, OPTIONS, softmax=draw_softmax(OPTIONS)))


@pytest.mark.parametrize("batch_size", [1, 4, 256])
def test_rows_are_what_the_characters_give(batch_size, model):
    params, tokenizer = model
    words = (*WORDS, LONG, "Zürich")
    table, of_words = elmo_jax.word_table(
        params, tokenizer, Vocabulary(words), batch_size=batch_size
    )
    tensors = draw_tensors(OPTIONS)
    expected = [bilm.token_vector(OPTIONS, tensors, word) for word in words]
    rows = table.encoder["words"]["embedding"]
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-5)
    assert table.config.char_cnn is None
    assert table.config.vocab_size == len(words)
    assert of_words.config is table.config
    assert of_words.vocabulary.words == words


def test_the_vectors_are_the_same_and_the_lstms_are_shared(model):
    params, tokenizer = model
    table, of_words = elmo_jax.word_table(params, tokenizer, Vocabulary(tuple(WORDS)))
    assert table.encoder.keys() ^ params.encoder.keys() == {"char_cnn", "words"}
    for name, weights in table.encoder.items():
        if name != "words":
            assert weights is params.encoder[name]
    ours = elmo_jax.encode(table, of_words(SENTENCES))
    theirs = elmo_jax.encode(params, tokenizer(SENTENCES))
    mask = tokenizer(SENTENCES).mask
    for layer in range(3):
        np.testing.assert_allclose(
            ours[:, layer][mask], theirs[:, layer][mask], rtol=0, atol=1e-5
        )
    # Other words are read as the word "<UNK>", spelled.
    ours = elmo_jax.embed(table, of_words([["never"]]), "embeddings")
    theirs = elmo_jax.embed(params, tokenizer([["<UNK>"]]), "embeddings")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_it_is_saved_and_loaded_as_a_model_of_words(model, tmp_path):
    params, tokenizer = model
    start = jax.tree.map(lambda leaf: leaf + 1, elmo_jax.zero_carry(params.config, 1))
    params = params.replace(start=start)
    table = elmo_jax.word_table(params, tokenizer, Vocabulary(tuple(WORDS)))
    elmo_jax.save(tmp_path / "saved", *table)
    names = read_hdf5(tmp_path / "saved/weights.hdf5").keys()
    assert names == draw_tensors(KINDS["words"]).keys()
    again, of_words = elmo_jax.load(tmp_path / "saved")
    assert again.config == table[0].config
    assert jax.tree.structure(again) == jax.tree.structure(table[0])
    for ours, theirs in zip(
        jax.tree.leaves(again), jax.tree.leaves(table[0]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert of_words.vocabulary.words == tuple(WORDS)


def test_a_softmax_stays_only_with_its_words(model):
    params, tokenizer = model
    same, _ = elmo_jax.word_table(params, tokenizer, tokenizer.vocabulary)
    assert same.heads is params.heads
    turned = (*WORDS[:-2], WORDS[-1], WORDS[-2])
    other, _ = elmo_jax.word_table(params, tokenizer, Vocabulary(turned))
    assert other.heads == {}
    bare = elmo_jax.ElmoTokenizer(params.config)
    assert elmo_jax.word_table(params, bare, tokenizer.vocabulary)[0].heads == {}


def test_text_is_split_as_before(model):
    params, _ = model
    tokenizer = elmo_jax.ElmoTokenizer(
        params.config, split=lambda text: text.split("/")
    )
    _, of_words = elmo_jax.word_table(params, tokenizer, Vocabulary(tuple(WORDS)))
    assert of_words.words("the/bank") == ["the", "bank"]


def test_a_table_of_a_table(model):
    params, tokenizer = model
    vocabulary = Vocabulary(tuple(WORDS))
    table = elmo_jax.word_table(params, tokenizer, vocabulary)
    with pytest.raises(ValueError, match="in a table already"):
        elmo_jax.word_table(*table, vocabulary)
