# SPDX-License-Identifier: Apache-2.0
"""What is no text is refused by its index, whichever function it is given to."""

import jax
import numpy as np
import pandas as pd
import pytest
from jaxtyping import config

import bert_jax
import elmo_jax
from embed_jax.corpus.sentences import check_sentences
from tests.bert_jax.words import CONFIG, make_tokenizer

BERT = bert_jax.init_params(jax.random.key(0), CONFIG), make_tokenizer()
WORDS = elmo_jax.Vocabulary(("<S>", "</S>", "<UNK>", "a", "cat"))
ELMO = (
    elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY, num_words=len(WORDS)),
    elmo_jax.ElmoTokenizer(elmo_jax.TINY, WORDS),
)
NO_TEXT = [
    (["a cat", None], "sentence 1 is None, not text"),
    (["a cat", float("nan")], "sentence 1 is nan, not text"),
    ([b"abc"], "sentence 0 is b'abc', not text"),
    ([7], "sentence 0 is 7, not text"),
    ([{"a": 1}], "sentence 0 is {'a': 1}, not text"),
    ([{"a"}], "sentence 0 is {'a'}, not text"),
    ([np.array("a cat")], "sentence 0 is array('a cat', dtype='<U5'), not text"),
    ([["a", 3]], "sentence 0: word 1 is 3, not text"),
    (["a", ("a", None)], "sentence 1: word 1 is None, not text"),
    ([["a", b"b"]], "sentence 0: word 1 is b'b', not text"),
    ([["a", ["b"]]], "sentence 0: word 1 is ['b'], not text"),
]


def of_bert(function):
    return lambda rows: function(*BERT, rows)


def of_elmo(function):
    return lambda rows: function(*ELMO, rows)


DOORS = {
    "bert tokeniser": BERT[1],
    "bert encode": BERT[1].encode,
    "bert words": of_bert(bert_jax.embed_words),
    "bert sentences": of_bert(bert_jax.embed_sentences),
    "bert stream": lambda rows: list(bert_jax.stream_words(*BERT, rows)),
    "elmo tokeniser": ELMO[1],
    "elmo words": of_elmo(elmo_jax.embed_words),
    "elmo sentences": of_elmo(elmo_jax.embed_sentences),
    "elmo stream": lambda rows: list(elmo_jax.stream_words(*ELMO, rows)),
    "elmo scores": lambda rows: list(elmo_jax.score_sentences(*ELMO, rows)),
    "elmo warm start": of_elmo(elmo_jax.warm_start),
}


@pytest.fixture
def unchecked(monkeypatch):
    """Do without the checks of annotations, as users do."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("rows", "message"), NO_TEXT)
@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_text_is_refused_by_its_index(door, rows, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared below)
        DOORS[door](rows)
    assert str(caught.value) == message


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("rows", ["a cat", b"a cat"])
@pytest.mark.parametrize("door", DOORS)
def test_one_text_is_no_list_of_sentences(door, rows):
    with pytest.raises(ValueError, match="pass a list of sentences, not one "):
        DOORS[door](rows)


@pytest.mark.usefixtures("unchecked")
def test_sequences_of_words_are_sentences():
    rows = ["a cat", ["a", "cat"], ("a", "cat"), np.array(["a", "cat"]), [], ""]
    assert check_sentences(rows) is rows
    words = bert_jax.embed_words(*BERT, rows[1:4])
    np.testing.assert_array_equal(words[0], words[1])
    np.testing.assert_array_equal(words[0], words[2])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("door", DOORS)
def test_a_column_of_a_table_is_sentences_whatever_its_labels(door):
    rows = ["a cat", "the bank"]
    column = pd.Series(rows, index=[7, 0], name="text")
    assert str(DOORS[door](column)) == str(DOORS[door](rows))
    assert str(DOORS[door](column[::-1])) == str(DOORS[door](rows[::-1]))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("labels", [["x", "y"], [3, 0], None])
def test_a_bad_row_of_a_table_is_named_by_place_and_label(door, labels):
    with pytest.raises(ValueError, match="sentence 1 is nan, not text") as caught:
        DOORS[door](pd.Series(["a cat", None], index=labels, dtype=str))
    label = f" (its label is {labels[1]!r})" if labels else ""
    assert str(caught.value).endswith(f"not text{label}")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pd.DataFrame({"text": ["a cat"]}), r'not a DataFrame: .*table\["text"\]'),
        ({"text": ["a cat"]}, r'not a dict: .*table\["text"\]'),
        (None, "pass a list of sentences, not None"),
        (np.array("a cat"), r"pass a list of sentences, not array\('a cat'"),
    ],
    ids=["table", "mapping", "None", "array"],
)
def test_what_is_no_list_of_sentences_is_refused(door, rows, message):
    with pytest.raises(ValueError, match=message):
        DOORS[door](rows)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("door", DOORS)
def test_a_pair_is_a_pair_or_refused(door):
    pair = ("the bank", "a cat sat")
    if door == "bert tokeniser":
        both = BERT[1]([pair, "a cat", ("the bank", ["a", "cat"])])
        assert both.segment_ids.any(axis=1).tolist() == [True, False, True]
        one = BERT[1]([pair[0]], [pair[1]])
        assert jax.tree.all(jax.tree.map(np.array_equal, BERT[1]([pair]), one))
        with pytest.raises(
            ValueError, match=r"\[\(a, b\)\] is a pair, and \[a, b\] are"
        ):
            BERT[1](pair)
        # The type says it, not the text: two words of one text are a list.
        assert BERT[1]([("a", "cat")]).segment_ids.any()
        with pytest.raises(ValueError, match="sentence 1 is a tuple of 3; a pair is a"):
            BERT[1](["a", ("a", "b", "c")])
        with pytest.raises(ValueError, match="sentence 1: word 1 is nan, not text"):
            BERT[1](["a", ("a", float("nan"))])
    else:
        with pytest.raises(ValueError, match="sentence 1 is a tuple of 2 texts, "):
            DOORS[door](["a cat", pair])
    with pytest.raises(ValueError, match="sentence 0 is a tuple of 3 texts, "):
        DOORS[door]([(*pair, "the bank")])
    # A word may hold a blank; then its neighbours do not.
    if door != "bert tokeniser":
        DOORS[door]([("a", "10 000", "cat"), ("a", "cat")])


@pytest.mark.parametrize("family", [(bert_jax, BERT), (elmo_jax, ELMO)])
def test_no_sentence_has_no_vector(family):
    module, (params, tokenizer) = family
    D = params.config.layer_dim
    tokens = tokenizer([])
    assert module.embed(params, tokens).shape == (0, 0, D)
    several = module.embed(params, tokens, ("last", "concat(last,embeddings)"))
    assert [vectors.shape for vectors in several] == [(0, 0, D), (0, 0, 2 * D)]
    padded = tokenizer([], pad_to=8)
    assert module.embed(params, padded).shape == (0, 8, D)
    num_layers = params.config.num_blocks + 1
    assert module.encode(params, tokens).shape == (0, num_layers, 0, D)
    assert module.embed_words(params, tokenizer, []) == []
    assert module.embed_sentences(params, tokenizer, []).shape == (0, D)
