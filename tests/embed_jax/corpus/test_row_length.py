# SPDX-License-Identifier: Apache-2.0
"""A batch has the shape that is asked for, whatever the texts, in both families."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import config

import bert_jax
import elmo_jax
from embed_jax import bucket_length
from tests.bert_jax.words import CONFIG, WORDS
from tests.compilations import counting_compilations

VOCABULARY = elmo_jax.Vocabulary(("<S>", "</S>", "<UNK>", "a", "bank"))
TABLE = dataclasses.replace(elmo_jax.TINY, char_cnn=None, vocab_size=5)
POSITIONS = 256
TOKENIZERS = {
    "bert": bert_jax.WordPieceTokenizer.from_vocab(WORDS, max_length=POSITIONS),
    "elmo": elmo_jax.ElmoTokenizer(elmo_jax.TINY),
    "elmo words": elmo_jax.ElmoTokenizer(TABLE, VOCABULARY),
}
# Sixteen words of a piece each.
TEXT = "the bank of the deep river is by water . we sat down , ! ?".split()
# Of which one fits beside the specials of a BERT, or alone.
SHORTEST = {"bert": 3, "elmo": 1, "elmo words": 1}

sentences = st.lists(st.sampled_from(["a", "bank", "x" * 60, "", "é"]), max_size=12)


def shapes_of(tokens):
    return [leaf.shape for leaf in tokens]


@pytest.fixture(params=["bert", "elmo"], scope="module")
def model(request):
    key = jax.random.key(0)
    if request.param == "bert":
        one_block = dataclasses.replace(CONFIG, max_positions=POSITIONS, num_blocks=1)
        params = bert_jax.init_params(key, one_block)
        return bert_jax, params, TOKENIZERS["bert"]
    return elmo_jax, elmo_jax.init_params(key, elmo_jax.TINY), TOKENIZERS["elmo"]


@pytest.mark.parametrize("family", TOKENIZERS)
@settings(max_examples=20)
@given(texts=st.lists(sentences, min_size=3, max_size=3))
def test_every_batch_has_one_shape(family, texts):
    tokenizer = TOKENIZERS[family]

    def tokenize(texts):
        return tokenizer(texts, max_length=7, pad_to=7, long="truncate")

    assert tokenize(texts).mask.shape == (3, 7)
    assert shapes_of(tokenize(texts)) == shapes_of(tokenize([["a"], [], ["a"]]))
    assert tokenizer([], pad_to=7).mask.shape == (0, 7)
    distinct = [[f"{row}x{place}" for place in range(7)] for row in range(3)]
    assert shapes_of(tokenize(distinct)) == shapes_of(tokenize(texts))


@pytest.mark.parametrize("family", TOKENIZERS)
@pytest.mark.parametrize("lengths", [(5, 8), (8, 5), (None, 5), (5, None)])
def test_a_row_is_as_long_as_both_lengths_allow(family, lengths):
    max_length, pad_to = lengths
    tokenizer, options = TOKENIZERS[family], {"max_length": max_length}
    long = tokenizer([TEXT], **options, pad_to=pad_to, long="truncate")
    assert long.mask.shape == (1, pad_to or 5)
    assert long.mask.sum() == 5
    expected = r"sentence 1 has \d+ (tokens with specials|words), more than 5; pass lo"
    with pytest.raises(ValueError, match=expected):
        tokenizer([["a"], TEXT], **options, pad_to=pad_to)


def test_what_is_cut_is_the_end():
    cut = TOKENIZERS["elmo"]([TEXT], max_length=4, long="truncate")
    whole = TOKENIZERS["elmo"]([TEXT[:4]])
    assert jax.tree.all(jax.tree.map(np.array_equal, cut, whole))
    # As of a whole sentence, so that the model reads a boundary there.
    assert cut.ends.tolist() == [[False, False, False, True]]
    bert = TOKENIZERS["bert"]([TEXT], max_length=5, long="truncate")
    assert bert.ids.tolist() == TOKENIZERS["bert"]([TEXT[:3]]).ids.tolist()


@pytest.mark.parametrize("family", TOKENIZERS)
@pytest.mark.parametrize("option", ["max_length", "pad_to"])
def test_a_length_is_a_number_that_holds_something(monkeypatch, family, option):
    monkeypatch.setattr(config, "jaxtyping_disable", True)
    tokenizer, least = TOKENIZERS[family], SHORTEST[family]
    tokenizer([["a"]], **{option: np.int64(least)})
    with pytest.raises(ValueError, match=f"{option} must be at least {least}, not 0"):
        tokenizer([["a"]], **{option: 0})
    for wrong in (32.0, True, "buckets"):
        with pytest.raises(ValueError, match=rf"{option} is .*not {wrong!r}"):
            tokenizer([["a"]], **{option: wrong})


def test_buckets_are_few_and_hold_their_rows():
    buckets = [bucket_length(length) for length in range(1025)]
    assert sorted(set(buckets)) == [8, 16, 32, 64, 128, 256, 512, 1024]
    assert all(length <= bucket for length, bucket in enumerate(buckets))
    # No more than half is padding.
    assert all(bucket <= max(2 * length, 8) for length, bucket in enumerate(buckets))
    assert bucket_length(5, 6) == bucket_length(6, 6) == 6
    with pytest.raises(ValueError, match="7 tokens, but rows have at most 6"):
        bucket_length(7, 6)


@pytest.mark.parametrize("family", TOKENIZERS)
def test_rows_are_padded_to_the_bucket_of_the_longest(family):
    tokenizer = TOKENIZERS[family]
    longest = tokenizer([TEXT, ["a"]]).mask.shape[1]
    bucket = bucket_length(longest)
    assert tokenizer([TEXT, ["a"]], pad_to="bucket").mask.shape == (2, bucket)
    # A longest row that is no power of two bounds the bucket.
    options = {"pad_to": "bucket", "max_length": 20, "long": "truncate"}
    assert tokenizer([TEXT * 2], **options).mask.shape == (1, 20)


def test_a_loop_over_every_length_compiles_a_few_programs(model):
    module, params, tokenizer = model
    jax.clear_caches()
    with counting_compilations() as compiled:
        for length in range(1, 201):
            words = [TEXT[place % len(TEXT)] for place in range(length)]
            if module is elmo_jax:
                # More and more distinct words, longer and longer ones.
                words = [word + "x" * (length % 50) for word in words]
                words[1::2] = map(str, range(length // 2))
            tokens = tokenizer([" ".join(words), "the bank"], pad_to="bucket")
            vectors = module.embed(params, tokens)
            longest = int(tokens.mask.sum(axis=1).max())
            assert vectors.shape[:2] == (2, bucket_length(longest))
    assert 1 < len(compiled) <= 8


def test_the_shape_changes_no_vector(model):
    module, params, tokenizer = model
    texts = [TEXT[:3], TEXT[:7], ["x" * 12], []]
    exact = tokenizer(texts)
    expected = np.asarray(module.embed(params, exact))
    for pad_to in ("bucket", exact.mask.shape[1] + 3):
        tokens = tokenizer(texts, pad_to=pad_to)
        found = np.asarray(module.embed(params, tokens))
        np.testing.assert_allclose(
            found[tokens.mask], expected[exact.mask], rtol=0, atol=1e-5
        )


def test_types_are_as_many_as_a_caller_knows_to_suffice():
    tokenizer = TOKENIZERS["elmo"]
    texts = [["a", "bank"], ["a"]]
    assert tokenizer(texts, pad_to=4, pad_types_to=6).types.shape == (6, 50)
    # Else as many as there may be; whatever divides the rows divides them.
    assert tokenizer(texts, pad_to=4).types.shape == (2 * (4 + 1), 50)
    assert tokenizer(texts[:1], pad_to=4).types.shape == (4 + 2, 50)
    assert tokenizer([], pad_to=4).types.shape == (2, 50)
    with pytest.raises(ValueError, match="4 distinct words, boundaries included, more"):
        tokenizer(texts, pad_to=4, pad_types_to=3)
