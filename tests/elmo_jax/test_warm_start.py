# SPDX-License-Identifier: Apache-2.0
"""A warm start is the oracle's state after the text, and stateless all the same."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

import elmo_jax
from elmo_jax import CharCnnConfig, ElmoConfig, ElmoTokenizer, Vocabulary
from elmo_jax.warm_start import warm_start
from tests.elmo_jax.oracle_model import draw_params, oracle_state, run_oracle
from tests.oracles import bilm

TOLERANCE = 1e-6

CONFIG = ElmoConfig(
    char_cnn=CharCnnConfig(embedding_dim=4, filters=((1, 4), (2, 8), (4, 8))),
    cell_dim=16,
    projection_dim=8,
    cell_clip=0.6,
    projection_clip=0.3,
)
ONE_LAYER = dataclasses.replace(CONFIG, num_blocks=1)
TABLE = dataclasses.replace(CONFIG, char_cnn=None, vocab_size=6, num_blocks=3)
VOCABULARY = Vocabulary(("a", "<UNK>", "</S>", "b", "<S>", "river"))
CONFIGS = {
    "characters": CONFIG,
    "one_way": dataclasses.replace(
        ONE_LAYER, bidirectional=False, skip_connections=False
    ),
    "word_table": TABLE,
}
# A blank line is a sentence too, and so it is where bilm-tf carries its state.
TEXT = [["a", "b", "unheard"], [], ["b"], ["river"]]


@functools.cache
def make(config: ElmoConfig, seed: int = 0):
    vocabulary = None if config.char_cnn else VOCABULARY
    return draw_params(config, seed), ElmoTokenizer(config, vocabulary), vocabulary


def oracle_after(params, vocabulary, text) -> bilm.State | None:
    state = None
    for words in text:
        _, state = run_oracle(params, words, vocabulary, state)
    return state


def assert_same_state(actual: bilm.State, expected: bilm.State) -> None:
    assert [len(way) for way in actual] == [len(way) for way in expected]
    for ways in zip(actual, expected, strict=True):
        for layers in zip(*ways, strict=True):
            for part, expected_part in zip(*layers, strict=True):
                np.testing.assert_allclose(part, expected_part, rtol=0, atol=TOLERANCE)


def assert_equal_trees(actual, expected) -> None:
    for leaves in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(*leaves)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_start_is_the_oracles_state_after_the_text(config):
    params, tokenizer, vocabulary = make(config)
    warm = warm_start(params, tokenizer, TEXT)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(warm.start)} == {1}
    expected = oracle_after(params, vocabulary, TEXT)
    assert_same_state(oracle_state(warm.start), expected)
    # So that the tolerance means something: the order of the sentences is heard.
    turned = oracle_after(params, vocabulary, TEXT[::-1])
    for way, turned_way in zip(expected, turned, strict=True):
        assert np.max(np.abs(way[-1][1] - turned_way[-1][1])) > 100 * TOLERANCE


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_vectors_are_the_oracles_from_that_state(config):
    params, tokenizer, vocabulary = make(config, seed=1)
    warm = warm_start(params, tokenizer, TEXT)
    state = oracle_after(params, vocabulary, TEXT)
    sentences = [["river", "a", "b"], ["a"], ["b", "b", "unheard", "river", "a"]]
    layers = elmo_jax.encode(warm, tokenizer(sentences))
    for row, words in enumerate(sentences):
        expected, _ = run_oracle(params, words, vocabulary, state)
        actual = layers[row, :, : len(words)]
        np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE)
        cold, _ = run_oracle(params, words, vocabulary)
        assert np.max(np.abs(cold - expected)) > 100 * TOLERANCE


def test_the_start_is_what_embed_carries_on():
    params, tokenizer, _ = make(ONE_LAYER)
    text = [["a", "river"], ["b", "a"], ["river", "b"]]
    carry = elmo_jax.zero_carry(ONE_LAYER, 1)
    for words in text:
        _, carry = elmo_jax.embed(params, tokenizer([words]), carry=carry)
    start = warm_start(params, tokenizer, text).start
    assert_same_state(oracle_state(start), oracle_state(carry))


def test_vectors_depend_neither_on_the_batch_nor_on_what_went_before():
    params, tokenizer, _ = make(ONE_LAYER)
    warm = warm_start(params, tokenizer, TEXT)
    words = ["a", "b", "river"]

    def embed(sentences):
        return np.asarray(elmo_jax.embed(warm, tokenizer(sentences), "concat(all)"))

    alone = embed([words])[0]
    batch = embed([words, ["b"], ["river"] * 5, words])
    turned = embed([words, ["river"] * 5, ["b"], words])
    for other in (batch[0], batch[3], turned[0], turned[3], embed([words])[0]):
        np.testing.assert_allclose(other[:3], alone, rtol=0, atol=TOLERANCE)


def test_only_the_start_changes_and_an_old_one_has_no_part_in_it():
    params, tokenizer, _ = make(ONE_LAYER)
    warm = warm_start(params, tokenizer, TEXT)
    assert params.start is None
    assert warm.config == params.config
    assert_equal_trees(warm.encoder, params.encoder)
    assert_equal_trees(warm_start(warm, tokenizer, TEXT).start, warm.start)


def test_raw_text_is_split_by_the_tokeniser():
    params, tokenizer, _ = make(ONE_LAYER)
    raw = warm_start(params, tokenizer, ["A river.", "It rained!"])
    words = warm_start(params, tokenizer, [["A", "river", "."], ["It", "rained", "!"]])
    assert_equal_trees(raw.start, words.start)


def test_the_start_is_saved_with_the_model(tmp_path):
    params, tokenizer, _ = make(ONE_LAYER)
    warm = warm_start(params, tokenizer, TEXT)
    elmo_jax.save(tmp_path / "warm", warm, tokenizer)
    again, _ = elmo_jax.load(tmp_path / "warm")
    assert_equal_trees(again.start, warm.start)


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([], "0 sentences without a word"),
        ([[], "  "], "2 sentences without a word"),
        ("A river.", "not one str"),
    ],
)
def test_what_holds_no_sentence_is_refused(sentences, message):
    params, tokenizer, _ = make(ONE_LAYER)
    with pytest.raises(ValueError, match=message):
        warm_start(params, tokenizer, sentences)


def test_the_tokeniser_of_another_model_is_refused():
    params, _, _ = make(ONE_LAYER)
    with pytest.raises(ValueError, match="use the tokeniser that belongs to it"):
        warm_start(params, ElmoTokenizer(TABLE, VOCABULARY), TEXT)
