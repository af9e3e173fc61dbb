"""What every family does alike: budgets, warnings, options, checks."""

import dataclasses
import inspect
import logging
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import bert_jax
import elmo_jax
from embed_jax.corpus.embedder import CorpusEmbedder, batch_budget
from embed_jax.corpus.options import Options
from embed_jax.devices.mesh import data_mesh
from tests import toy_family
from tests.bert_jax.words import CONFIG, make_tokenizer

# Six words: with specials, where there are such, 8 positions.
SENTENCE = ["we", "sat", "by", "the", "river", "bank"]


class Family(NamedTuple):
    corpus: CorpusEmbedder
    params: Any
    tokenizer: Any
    positions: int
    num_specials: int


def bert() -> Family:
    params = bert_jax.init_params(jax.random.key(0), CONFIG)
    return Family(bert_jax.ENCODER.corpus, params, make_tokenizer(), 8, 2)


def elmo() -> Family:
    params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
    tokenizer = elmo_jax.ElmoTokenizer(elmo_jax.TINY)
    return Family(elmo_jax.ENCODER.corpus, params, tokenizer, 6, 0)


def toy() -> Family:
    config = toy_family.ToyConfig()
    params = toy_family.init_params(config)
    return Family(toy_family.CORPUS, params, config, 8, 0)


@pytest.fixture(scope="module", params=["bert", "elmo", "toy"])
def family(request) -> Family:
    return {"bert": bert, "elmo": elmo, "toy": toy}[request.param]()


@pytest.mark.parametrize("is_given", [True, False], ids=["given", "default"])
@pytest.mark.parametrize("num_devices", [1, 8])
def test_the_budget_is_that_of_a_device_times_the_devices(
    family: Family, num_devices: int, is_given: bool
):
    given: dict[str, Any] = {"token_budget": 64}
    corpus = family.corpus
    if not is_given:
        corpus = dataclasses.replace(corpus, token_budgets={"cpu": 64, "default": 1})
        given = {}
    mesh = data_mesh(jax.devices()[:num_devices])
    sizes: list[int] = []
    vectors = corpus.embed_words(
        family.params,
        family.tokenizer,
        [SENTENCE] * 200,
        "0",
        mesh=mesh,
        on_batch=sizes.append,
        **given,
    )
    assert len(vectors) == 200
    # A row of an ELMo is packed, and has 64 positions.
    per_device = 64 // family.positions
    assert max(sizes) == num_devices * per_device


def test_the_default_budget_is_multiplied_too():
    budgets = {"cpu": 1024, "default": 16384}
    assert batch_budget(None, budgets, data_mesh(jax.devices()[:8])) == 8 * 1024
    assert batch_budget(100, budgets, data_mesh(jax.devices()[:8])) == 800
    assert batch_budget(None, budgets, None) == 1024


def test_truncation_warns(family: Family, caplog: pytest.LogCaptureFixture):
    long = ["we"] * 12
    embed = {
        "words": family.corpus.embed_words,
        "sentences": family.corpus.embed_sentences,
    }
    for function in embed.values():
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            function(
                family.params,
                family.tokenizer,
                [SENTENCE[:2], long],
                long="truncate",
                max_length=6,
            )
        (record,) = caplog.records
        read = 6 - family.num_specials
        assert f"{12 - read} words" in record.getMessage()
        assert f"sentence 1, word {read}, 'we'" in record.getMessage()
    caplog.clear()
    family.corpus.embed_words(family.params, family.tokenizer, [SENTENCE])
    assert not caplog.records


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"long": "cut"}, "long 'cut'"),
        ({"context": -1}, "context is a number of pieces"),
        ({"token_budget": 0}, "token_budget must be at least 1, not 0"),
        ({"pool": "frist"}, "pool 'frist'"),
        ({"max_length": 0}, "max_length must be at least 1, not 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(
    family: Family, wrong: dict[str, Any], message: str
):
    def unread():
        raise AssertionError("read too early")
        yield

    for stream in (family.corpus.stream_words, family.corpus.stream_sentences):
        with pytest.raises(ValueError, match=message):
            stream(family.params, family.tokenizer, unread(), **wrong)


def test_an_option_that_does_not_exist_is_named_with_the_nearest(family: Family):
    with pytest.raises(TypeError, match="no option 'poll'; did you mean \"pool\""):
        family.corpus.embed_words(family.params, family.tokenizer, [], poll="mean")


def test_options_may_be_given_as_a_record(family: Family):
    options = Options(pool="mean", out_dtype="float16")
    given = family.params, family.tokenizer, [SENTENCE], "all"
    (recorded,) = family.corpus.embed_words(*given, options)
    (spelled,) = family.corpus.embed_words(*given, pool="mean", out_dtype="float16")
    np.testing.assert_array_equal(recorded, spelled)
    (changed,) = family.corpus.embed_words(*given, options, out_dtype="float32")
    assert (recorded.dtype, changed.dtype) == (np.float16, np.float32)


def test_a_word_is_its_first_piece_and_a_sentence_the_mean_unless_told(family: Family):
    given = family.params, family.tokenizer, [SENTENCE]
    np.testing.assert_array_equal(
        family.corpus.embed_words(*given)[0],
        family.corpus.embed_words(*given, pool="first")[0],
    )
    np.testing.assert_array_equal(
        family.corpus.embed_sentences(*given),
        family.corpus.embed_sentences(*given, pool="mean"),
    )


def test_help_lists_every_option(family: Family):
    for function in (
        family.corpus.embed_words,
        family.corpus.embed_sentences,
        family.corpus.stream_words,
        family.corpus.stream_sentences,
    ):
        shown = inspect.signature(function).parameters
        for field in dataclasses.fields(Options):
            assert shown[field.name].default == field.default
        assert "changes" not in shown
