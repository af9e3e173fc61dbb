# SPDX-License-Identifier: Apache-2.0
"""A text that a vocabulary does not know is warned of with its share, or refused."""

import dataclasses
import logging

import jax
import pytest

import bert_jax
import elmo_jax
from elmo_jax.score import main as score
from embed_jax.__main__ import main as embed
from embed_jax.corpus.stream import Item
from embed_jax.corpus.unknown import judge_unknown, judged
from tests.bert_jax.words import CONFIG, make_tokenizer

BERT = bert_jax.init_params(jax.random.key(0), CONFIG), make_tokenizer()
VOCABULARY = elmo_jax.Vocabulary(("<S>", "</S>", "<UNK>", "the", "bank"))
TABLE = dataclasses.replace(elmo_jax.TINY, char_cnn=None, vocab_size=len(VOCABULARY))
ELMO = (
    elmo_jax.init_params(jax.random.key(0), TABLE, num_words=len(VOCABULARY)),
    elmo_jax.ElmoTokenizer(TABLE, VOCABULARY),
)
CHARACTERS = (
    elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY, num_words=len(VOCABULARY)),
    elmo_jax.ElmoTokenizer(elmo_jax.TINY, VOCABULARY),
)
WORD_IDS = [
    (bert_jax.embed_words, BERT, ["ἡ ὄχθη"], ["the bank"]),
    (bert_jax.embed_sentences, BERT, ["ἡ ὄχθη"], ["the bank"]),
    (elmo_jax.embed_words, ELMO, [["THE", "BANK"]], [["the", "bank"]]),
    (elmo_jax.embed_sentences, ELMO, [["THE", "BANK"]], [["the", "bank"]]),
]


@pytest.mark.parametrize(("function", "model", "strange", "known"), WORD_IDS)
def test_a_text_without_a_known_word_is_said_or_refused(
    caplog, function, model, strange, known
):
    function(*model, known)
    assert not caplog.messages
    function(*model, strange)
    (said,) = caplog.messages
    assert said.startswith("not one of the 2 words of the text is known to the vocab")
    with pytest.raises(ValueError, match="not one of the 2 words of the text is known"):
        function(*model, strange, unknown="error")


@pytest.mark.parametrize("function", [bert_jax.embed_words, elmo_jax.embed_words])
def test_a_share_of_unknown_words_is_said_once_with_numbers(caplog, function):
    model = BERT if function is bert_jax.embed_words else ELMO
    strange = "ὄχθη"
    function(*model, [["the"] * 9, ["bank"] * 10, [strange]])
    assert not caplog.messages
    function(*model, [["the"] * 9, [strange], ["bank"] * 8, [strange]])
    (said,) = caplog.messages
    assert said.startswith("11% of the words of the text (2 of 19) are unknown")
    assert f"({strange!r} is not)" in said


def test_a_model_of_characters_reads_every_word_and_scores_only_known_ones(caplog):
    text = [["THE", "BANK"]]
    elmo_jax.embed_words(*CHARACTERS, text)
    assert not caplog.messages
    list(elmo_jax.score_sentences(*CHARACTERS, text))
    assert "not one of the 2 words" in caplog.text
    with pytest.raises(ValueError, match="not one of the 2 words"):
        list(elmo_jax.score_sentences(*CHARACTERS, text, unknown="error"))


def test_sentences_without_words_are_no_mismatch(caplog):
    bert_jax.embed_words(*BERT, ["", "   "], unknown="error")
    elmo_jax.embed_words(*ELMO, [[], []], unknown="error")
    assert not caplog.messages


def test_a_long_text_is_not_read_to_its_end_before_it_is_refused():
    read = []

    def items():
        for number in range(10**6):
            read.append(number)
            yield Item([], ["x"] * 100, (), tuple(range(100)))

    with pytest.raises(ValueError, match="not one of the 1,100 words"):
        list(judged(items(), "error"))
    assert len(read) == 11


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="unknown 'ignore'"):
        bert_jax.embed_words(*BERT, ["the"], unknown="ignore")


def test_the_share_counts_from_a_tenth_of_ten_words(caplog):
    for num_unknown, num_words in (
        (0, 0),
        (0, 50),
        (1, 9),
        (4, 9),
        (1, 11),
        (99, 1000),
    ):
        judge_unknown(num_unknown, num_words, of="it", no_known="error")
    assert not caplog.messages
    with caplog.at_level(logging.WARNING):
        judge_unknown(1, 10, of="it")
    assert caplog.messages[0].startswith("10% of the words of it (1 of 10) are unknown")


@pytest.mark.parametrize("model", [BERT, ELMO])
def test_commands_refuse_a_text_without_a_known_word(tmp_path, capsys, model):
    module = bert_jax if model is BERT else elmo_jax
    module.save(tmp_path / "model", *model)
    (tmp_path / "strange.txt").write_text("ὄχθη\nὄχθη ὄχθη\n", "utf-8")
    output = tmp_path / "out"
    paths = [str(tmp_path / "model"), str(tmp_path / "strange.txt"), str(output)]
    assert embed(paths) == 2
    assert "not one of the 3 words of the text is known" in capsys.readouterr().err
    assert not output.exists()
    if model is ELMO:
        assert score([*paths[:2], f"{output}.tsv"]) == 2
        assert "not one of the 3 words of the text is known" in capsys.readouterr().err
        assert not output.exists()
