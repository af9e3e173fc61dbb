"""What every family does alike: budgets, warnings, options, checks."""

import dataclasses
import inspect
import logging
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import config

import bert_jax
import elmo_jax
from embed_jax.corpus.embedder import CorpusEmbedder, batch_budget
from embed_jax.corpus.options import Options
from embed_jax.devices.mesh import data_mesh
from embed_jax.layers.scalar_mix import ScalarMix
from tests import toy_family
from tests.bert_jax.words import CONFIG, make_tokenizer
from tests.compilations import counting_compilations

FUNCTIONS = ("embed_words", "embed_sentences", "stream_words", "stream_sentences")
SPECS = ("last", "embeddings", "concat(all)", "mix(all)", "max(all),0", "-1", "sum(0)")

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


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let arguments of wrong types in, as outside of these tests."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


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
        ({"context": True}, "context is a number of pieces"),
        ({"token_budget": 0}, "token_budget must be at least 1, not 0"),
        ({"pool": "frist"}, "pool 'frist'"),
        ({"max_length": 0}, "max_length must be at least 1, not 0"),
        ({"max_length": "64"}, "max_length must be a whole number, not '64'"),
        ({"token_budget": 1.5}, "token_budget must be a whole number, not 1.5"),
        ({"normalize": "l2"}, "normalize is True or False, not 'l2'"),
        ({"dtype": "float31"}, "dtype 'float31' is not one of float32, bfloat16"),
        ({"out_dtype": int}, "out_dtype 'int64' is not one of"),
        ({"dtype": "float64"}, "dtype float64 needs jax.config.update"),
        ({"options": "mean"}, "options is a str, not Options; pass single options"),
        ({"layer_spec": ["last"]}, "several specs are a tuple of them"),
        ({"layer_spec": ()}, "a tuple of layer specs needs one or more"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_wrong_options_are_refused_before_anything_is_read(
    family: Family, wrong: dict[str, Any], message: str
):
    def unread():
        raise AssertionError("read too early")
        yield

    for name in FUNCTIONS:
        with pytest.raises(ValueError, match=rf"^{name}\(\): .*{message}") as caught:
            getattr(family.corpus, name)(
                family.params, family.tokenizer, unread(), **wrong
            )
        # And no function that this one calls.
        assert str(caught.value).count("()") == 1


def test_an_option_that_does_not_exist_is_named_with_the_nearest(family: Family):
    for name in FUNCTIONS:
        message = rf"^{name}\(\): there is no option 'poll'; did you mean \"pool\""
        with pytest.raises(TypeError, match=message):
            getattr(family.corpus, name)(
                family.params, family.tokenizer, [], poll="mean"
            )


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


TEXT = [SENTENCE, "the river bank", [], ["we"], SENTENCE * 3]


@pytest.mark.parametrize("pool", ["first", "first_last"])
def test_a_tuple_of_specs_gives_what_each_of_them_gives(family: Family, pool: str):
    given = family.params, family.tokenizer, TEXT
    several = family.corpus.embed_words(*given, SPECS, pool=pool)
    assert isinstance(several, tuple)
    assert len(several) == len(SPECS)
    for spec, found in zip(SPECS, several, strict=True):
        alone = family.corpus.embed_words(*given, spec, pool=pool)
        for ours, expected in zip(found, alone, strict=True):
            assert ours.flags.owndata
            np.testing.assert_allclose(ours, expected, atol=1e-6)
    streamed = list(family.corpus.stream_words(*given, SPECS, pool=pool))
    for number in range(len(SPECS)):
        for embedded, expected in zip(streamed, several[number], strict=True):
            np.testing.assert_array_equal(embedded.vectors[number], expected)


def test_a_tuple_of_specs_gives_an_array_of_sentences_each(family: Family):
    given = family.params, family.tokenizer, TEXT
    several = family.corpus.embed_sentences(*given, SPECS)
    assert isinstance(several, tuple)
    for spec, found in zip(SPECS, several, strict=True):
        alone = family.corpus.embed_sentences(*given, spec)
        np.testing.assert_allclose(found, alone, atol=1e-6)
    (one,) = family.corpus.embed_sentences(*given, ("last",))
    np.testing.assert_array_equal(one, family.corpus.embed_sentences(*given, "last"))
    empty = family.corpus.embed_sentences(family.params, family.tokenizer, [], SPECS)
    assert [each.shape for each in empty] == [(0, each.shape[1]) for each in several]


@pytest.mark.parametrize("make", [bert, elmo])
def test_seven_specs_are_one_compilation_a_bucket(make):
    family = make()
    # No other test has these, so that nothing of them is compiled yet.
    specs = tuple(f"{spec},0,0,0" for spec in SPECS)
    step = {"bert": "_word_vectors", "elmo": "_select"}[make.__name__]
    for sentence in (SENTENCE, SENTENCE * 3):
        for expected in (1, 0):
            with counting_compilations() as compiled:
                family.corpus.embed_words(
                    family.params, family.tokenizer, [sentence], specs
                )
            assert sum(step in name for name in compiled) == expected


def test_each_of_several_specs_has_its_mix(family: Family):
    given = family.params, family.tokenizer, [SENTENCE]
    number = family.params.config.num_blocks + 1
    mix = ScalarMix(jnp.arange(number, dtype=jnp.float32), jnp.float32(3))
    specs = "mix(all)", "last", "mix(all)"
    mixed, last, plain = family.corpus.embed_words(*given, specs, mix=(mix, None, None))
    for found, spec, own in zip(
        (mixed, last, plain), specs, (mix, None, None), strict=True
    ):
        (expected,) = family.corpus.embed_words(*given, spec, mix=own)
        np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert np.abs(mixed[0] - plain[0]).max() > 0.01
    with pytest.raises(ValueError, match=r"embed_words\(\): 3 specs need a tuple of 3"):
        family.corpus.embed_words(*given, specs, mix=mix)


def test_words_come_with_their_vectors_if_asked(family: Family):
    given = family.params, family.tokenizer, TEXT
    expected = [each.words for each in family.corpus.stream_words(*given)]
    vectors, words = family.corpus.embed_words(*given, return_words=True)
    assert words == expected
    assert [len(each) for each in vectors] == [len(each) for each in words]
    _, words = family.corpus.embed_sentences(*given, ("0", "last"), return_words=True)
    assert words == expected


@pytest.mark.parametrize("out_dtype", ["float32", "float16", "bfloat16"])
def test_normalised_vectors_have_length_one_and_zeros_stay(
    family: Family, out_dtype: str
):
    # A thousand times longer than float16 reaches.
    mix = ScalarMix(jnp.zeros(1), jnp.float32(1e8))
    given = family.params, family.tokenizer, [*TEXT, ["\u200b", "we"]], "mix(0)"
    options = {"mix": mix, "out_dtype": out_dtype, "normalize": True}
    plain = family.corpus.embed_words(*given, mix=mix)
    units = family.corpus.embed_words(*given, **options)
    for unit, vectors in zip(units, plain, strict=True):
        assert unit.dtype == jnp.dtype(out_dtype)
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        expected = vectors / np.where(lengths == 0, 1, lengths)
        rounded = expected.astype(np.float32).astype(jnp.dtype(out_dtype))
        np.testing.assert_array_equal(unit, rounded)
    whole = family.corpus.embed_sentences(*given, **options, specials=False)
    assert whole.dtype == jnp.dtype(out_dtype)
    lengths = np.linalg.norm(whole.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 1, 1, 1], atol=4e-3)
    streamed = family.corpus.stream_sentences(*given, **options, specials=False)
    for row, embedded in zip(whole, streamed, strict=True):
        np.testing.assert_array_equal(row, embedded.vectors[0])


@pytest.mark.parametrize("make", [bert, elmo])
@pytest.mark.usefixtures("untyped")
def test_arguments_that_changed_places_are_named(make):
    family = make()
    params, tokenizer = family.params, family.tokenizer
    both = type(params).__name__, type(tokenizer).__name__
    order = "params, tokenizer, sentences, in this order"
    for name in FUNCTIONS:
        function = getattr(family.corpus, name)
        for given, message in (
            ((tokenizer, params, TEXT), f"params is an? {both[1]}, not an? {both[0]}"),
            ((params, TEXT, tokenizer), "tokenizer is a list, not an? .*Tokenizer"),
            (((params, tokenizer), tokenizer, TEXT), "params is a tuple.*load gives"),
            ((None, tokenizer, TEXT), "params is None, not an? "),
        ):
            with pytest.raises(ValueError, match=rf"^{name}\(\): {message}"):
                function(*given)
        with pytest.raises(TypeError, match=rf"^{name}\(\) takes {order}; it got an?"):
            function(params, TEXT)
        with pytest.raises(TypeError, match="it got tokenizer=, sentences="):
            function(tokenizer=tokenizer, sentences=TEXT)
    with pytest.raises(ValueError, match=f"^params is an? {both[1]}"):
        family.corpus.vector_width(tokenizer, "last", "mean")
