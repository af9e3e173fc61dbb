# SPDX-License-Identifier: Apache-2.0
"""Text to vectors at scale: never dependent on company, nothing lost."""

import dataclasses
import logging

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import bert_jax
from bert_jax import corpus
from embed_jax.corpus.batching import BatchShapes
from embed_jax.devices.mesh import data_mesh
from embed_jax.layers.scalar_mix import ScalarMix
from tests.bert_jax.words import CONFIG, WORDS, make_tokenizer
from tests.compilations import counting_compilations

PARAMS = bert_jax.init_params(jax.random.key(0), CONFIG)
TOKENIZER = make_tokenizer()


def alone(sentence, spec="last") -> np.ndarray:
    """Embed one sentence in a batch of its own, without padding: what must come out."""
    return np.asarray(bert_jax.embed(PARAMS, TOKENIZER([sentence]), spec))[0]


sentence = st.lists(st.sampled_from(WORDS[5:]), max_size=30).map(" ".join)


@pytest.mark.slow
@hypothesis.given(
    sentences=st.lists(sentence, min_size=1, max_size=12),
    budget=st.sampled_from([1, 40, 100, 1024]),
    data=st.data(),
)
@hypothesis.settings(max_examples=25)
def test_vectors_do_not_depend_on_company(sentences, budget, data):
    order = data.draw(st.permutations(range(len(sentences))))
    shuffled = [sentences[index] for index in order]
    vectors = bert_jax.embed_words(
        PARAMS, TOKENIZER, shuffled, "concat(all)", token_budget=budget
    )
    assert len(vectors) == len(sentences)
    for index, got in zip(order, vectors, strict=True):
        pieces = TOKENIZER.encode([sentences[index]])[0]
        layers = alone(sentences[index], "concat(all)")
        first = np.searchsorted(pieces.word_ids, np.arange(len(pieces.words)))
        np.testing.assert_allclose(got, layers[1 + first], atol=1e-5)


@pytest.mark.slow
@hypothesis.given(sentences=st.lists(sentence, min_size=1, max_size=12))
@hypothesis.settings(max_examples=10)
def test_device_count_does_not_move_a_vector(sentences):
    one = bert_jax.embed_words(PARAMS, TOKENIZER, sentences, "last")
    for count in (2, 8):
        mesh = data_mesh(jax.devices()[:count])
        several = bert_jax.embed_words(PARAMS, TOKENIZER, sentences, "last", mesh=mesh)
        for a, b in zip(one, several, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_mix_norm_does_not_depend_on_company_either():
    # Fresh normalisations make every batch's statistics the same; move them.
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: leaf + rng.normal(0, 0.5, leaf.shape).astype(np.float32), PARAMS
    )
    together = bert_jax.embed_words(
        params, TOKENIZER, ["the river ran deep", "we sat"], "mix_norm(all)"
    )
    by_itself = bert_jax.embed_words(params, TOKENIZER, ["we sat"], "mix_norm(all)")
    np.testing.assert_allclose(together[1], by_itself[0], atol=1e-5)


def test_mix_norm_of_a_sentence_does_not_depend_on_company():
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: leaf + rng.normal(0, 0.5, leaf.shape).astype(np.float32), PARAMS
    )
    together = bert_jax.embed_sentences(
        params, TOKENIZER, ["the river ran deep", "we sat"], "mix_norm(all)"
    )
    alone = bert_jax.embed_sentences(params, TOKENIZER, ["we sat"], "mix_norm(all)")
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


def test_compilations_are_bounded_by_the_bucket_count():
    rng = np.random.default_rng(0)
    sentences = [" ".join(rng.choice(WORDS[5:], n)) for n in rng.integers(0, 38, 500)]
    shapes = BatchShapes(token_budget=160, max_length=40)
    with counting_compilations() as compiled:
        # A spec that no other test has, so that nothing of it is compiled yet.
        bert_jax.embed_words(PARAMS, TOKENIZER, sentences, "0,0", token_budget=160)
    # One shape a length, and for the last batch of each chunk a smaller one.
    assert 1 < len(compiled) <= len(shapes.lengths) + 1
    backwards = sentences[::-1]
    with counting_compilations() as compiled:
        bert_jax.embed_words(PARAMS, TOKENIZER, backwards, "0,0", token_budget=160)
    assert compiled == []


@pytest.mark.parametrize("pool", ["first", "last", "mean", "max", "first_last"])
def test_word_pools_read_the_pieces_of_a_word(pool):
    words = ["banking", "we", "xyz"]
    pieces = TOKENIZER.encode([words])[0]
    layer = alone(words)[1:-1]
    expected = []
    for index in range(len(words)):
        own = layer[pieces.word_ids == index]
        by_pool = {
            "first": own[0],
            "last": own[-1],
            "mean": own.mean(0),
            "max": own.max(0),
            "first_last": np.concatenate([own[0], own[-1]]),
        }
        expected.append(by_pool[pool])
    (got,) = bert_jax.embed_words(PARAMS, TOKENIZER, [words], "last", pool=pool)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("specials", [True, False])
@pytest.mark.parametrize("pool", ["cls", "mean", "max", "mean_sqrt_len"])
def test_sentence_pools(pool, specials):
    text = "the river ran deep"
    layer = alone(text)
    read = layer if specials else layer[1:-1]
    expected = {
        "cls": layer[0],
        "mean": read.mean(0),
        "max": read.max(0),
        "mean_sqrt_len": read.sum(0) / np.sqrt(len(read)),
    }[pool]
    got = bert_jax.embed_sentences(
        PARAMS, TOKENIZER, [text, ""], "last", pool=pool, specials=specials
    )
    np.testing.assert_allclose(got[0], expected, atol=1e-5)


def test_words_without_a_piece_are_zero_and_reported(caplog):
    with caplog.at_level(logging.WARNING):
        (vectors,) = bert_jax.embed_words(
            PARAMS, TOKENIZER, [["we", "\u200b", "sat", "\x00"]], "last"
        )
    assert "2 words gave no piece" in caplog.text
    assert "sentence 0, word 1" in caplog.text
    zero = ~vectors.any(axis=1)
    assert zero.tolist() == [False, True, False, True]
    np.testing.assert_allclose(vectors[::2], alone("we sat")[1:3])


def test_more_words_than_pieces_are_zero_vectors_too():
    many = ["\x07"] * 50
    sentences = [[*many, "we", *many, "sat", "\x07"], ["we", "sat"], many]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("embed_jax"), "disabled", True)
        for options in ({}, {"context": 3}, {"long": "truncate", "max_length": 3}):
            long, short, nothing = bert_jax.embed_words(
                PARAMS, TOKENIZER, sentences, "last", **options
            )
            read = np.flatnonzero(long.any(axis=1)).tolist()
            assert read == ([50] if "max_length" in options else [50, 101])
            assert long.shape == (103, CONFIG.layer_dim)
            assert not nothing.any()
            if not options:
                np.testing.assert_allclose(long[read], short, atol=1e-6)
        # In windows, each with words between its own that no piece is of.
        words = [word for name in WORDS[5:] * 4 for word in ("\x07", name)]
        windows = bert_jax.embed_words(PARAMS, TOKENIZER, [words], "last")[0]
        dense = bert_jax.embed_words(PARAMS, TOKENIZER, [words[1::2]], "last")[0]
        np.testing.assert_array_equal(windows[1::2], dense)
        assert not windows[::2].any()


def test_mix_norm_does_not_count_shown_neighbours():
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: leaf + rng.normal(0, 0.5, leaf.shape).astype(np.float32), PARAMS
    )
    document = ["we sat by the river", "the bank is deep", "water ran down"]
    found = bert_jax.embed_words(
        params, TOKENIZER, document, "mix_norm(1)", context="document"
    )
    tokens = TOKENIZER([" ".join(document)])
    layer = np.asarray(bert_jax.encode(params, tokens), np.float64)[0, 1]
    begin = 1
    for vectors in found:
        own = slice(begin, begin + len(vectors))
        counted = np.concatenate([layer[:1], layer[own], layer[-1:]])
        expected = (layer[own] - counted.mean()) / counted.std()
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
        begin += len(vectors)


def test_vectors_of_sentences_are_the_callers_own():
    for pool in ("mean", "cls"):
        for sentence in bert_jax.stream_sentences(
            PARAMS, TOKENIZER, ["we sat", "the bank " * 40], "last", pool=pool
        ):
            assert sentence.vectors.flags.writeable
            assert sentence.vectors.base is None or sentence.vectors.base.size == 16


def test_long_input_is_windowed_truncated_or_refused(caplog):
    text = " ".join(["we", "ran", "down", "the", "river"] * 20)
    refusal = r'sentence 1 has 102 tokens .* long="truncate"'
    with pytest.raises(ValueError, match=refusal):
        bert_jax.embed_words(PARAMS, TOKENIZER, ["we", text], "last", long="error")
    (windowed,) = bert_jax.embed_words(PARAMS, TOKENIZER, [text], "last")
    assert windowed.shape == (100, 16)
    assert windowed.any(axis=1).all()
    with caplog.at_level(logging.WARNING):
        (cut,) = bert_jax.embed_words(
            PARAMS, TOKENIZER, [text], "last", long="truncate"
        )
    assert cut.any(axis=1).sum() == 38
    assert "62 words" in caplog.text
    first_window = alone(" ".join(text.split()[:38]))[1:-1]
    np.testing.assert_allclose(cut[:38], first_window, atol=1e-5)
    np.testing.assert_allclose(windowed[:19], first_window[:19], atol=1e-5)


def test_a_sentence_that_is_too_long_is_named_past_the_first_block():
    sentences = ["we"] * 300 + ["we " * 39]
    with pytest.raises(ValueError, match="sentence 300 has 41 tokens"):
        bert_jax.embed_words(PARAMS, TOKENIZER, sentences, "last", long="error")


def test_a_row_of_the_models_length_is_not_too_long():
    (vectors,) = bert_jax.embed_words(
        PARAMS, TOKENIZER, ["we " * 38], "last", long="error"
    )
    assert vectors.shape == (38, 16)


def test_windows_are_as_long_as_the_tokeniser_says():
    """A tokeniser may read less at once than its model."""
    text = " ".join(["we", "ran", "down", "the", "river"] * 8)
    short = make_tokenizer(max_length=16)
    (vectors,) = bert_jax.embed_words(PARAMS, short, [text], "last")
    # Windows of 14 pieces begin at every seventh: up to the eleventh word the first
    # one has it nearest to its middle.
    first = alone(" ".join(text.split()[:14]))[1:-1]
    np.testing.assert_allclose(vectors[:10], first[:10], atol=1e-5)


@pytest.mark.parametrize("pool", ["cls", "mean", "max", "mean_sqrt_len"])
def test_sentence_pooling_reads_every_piece_of_all_windows(pool):
    text = " ".join(["we", "ran", "down", "the", "deep"] * 20)
    vector = bert_jax.embed_sentences(
        PARAMS, TOKENIZER, [text], "last", pool=pool, specials=False
    )[0]
    (words,) = bert_jax.embed_words(PARAMS, TOKENIZER, [text], "last")
    expected = {
        "cls": alone(" ".join(text.split()[:38]))[0],
        "mean": words.mean(0),
        "max": words.max(0),
        "mean_sqrt_len": words.sum(0) / 10,
    }[pool]
    np.testing.assert_allclose(vector, expected, atol=1e-5)


def test_context_shows_the_neighbours_and_returns_only_the_sentence():
    document = ["we sat by the river", "the bank is deep", "water ran down"]
    embedded = bert_jax.embed_words(
        PARAMS, TOKENIZER, [*document, "", "money"], "last", context="document"
    )
    whole = alone(" ".join(document))[1:-1]
    np.testing.assert_allclose(np.concatenate(embedded[:3]), whole, atol=1e-5)
    assert embedded[3].shape == (0, 16)
    np.testing.assert_allclose(embedded[4], alone("money")[1:-1], atol=1e-5)
    near = bert_jax.embed_words(PARAMS, TOKENIZER, document, "last", context=2)
    expected = alone("the river the bank is deep water ran")[3:7]
    np.testing.assert_allclose(near[1], expected, atol=1e-5)


def test_blank_lines_cost_no_computation():
    with counting_compilations() as compiled:
        vectors = bert_jax.embed_words(
            PARAMS, TOKENIZER, ["", " ", []] * 9, "concat(0,1,2,0)"
        )
    assert [v.shape for v in vectors] == [(0, 64)] * 27
    assert compiled == []


def test_output_dtypes():
    exact = bert_jax.embed_words(PARAMS, TOKENIZER, ["the bank"], "last")[0]
    for dtype in (jnp.float16, jnp.bfloat16):
        (vectors,) = bert_jax.embed_words(
            PARAMS, TOKENIZER, ["the bank"], "last", out_dtype=dtype
        )
        assert vectors.dtype == jnp.dtype(dtype)
        np.testing.assert_allclose(vectors.astype(np.float32), exact, atol=2e-2)
    long = " ".join(["we"] * 100)
    half = bert_jax.embed_sentences(
        PARAMS, TOKENIZER, [long], "last", out_dtype=jnp.bfloat16
    )
    assert half.dtype == ml_dtypes.bfloat16


def test_a_learned_mix_is_used():
    mix = ScalarMix(weights=jnp.array([0.0, 0.0, 50.0]), gamma=jnp.float32(2))
    (mixed,) = bert_jax.embed_words(
        PARAMS, TOKENIZER, ["the bank"], "mix(all)", mix=mix
    )
    (last,) = bert_jax.embed_words(PARAMS, TOKENIZER, ["the bank"], "last")
    np.testing.assert_allclose(mixed, 2 * last, atol=1e-5)


def test_rubbish_is_embedded_or_refused_and_nothing_is_lost():
    rubbish = [
        "",
        " \t\u3000 ",
        "a" * 10_000,
        "\ud800",
        "\x00",
        "we\ud83d sat",
        "." * 300,
    ]
    vectors = bert_jax.embed_words(PARAMS, TOKENIZER, [*rubbish, "we sat"], "last")
    assert [len(v) for v in vectors] == [0, 0, 1, 0, 0, 2, 300, 2]
    assert all(np.isfinite(v).all() for v in vectors)
    np.testing.assert_allclose(vectors[5], vectors[7], atol=1e-5)


def test_a_line_of_100_000_characters():
    line = "we ran down the river. " * 4348
    (vectors,) = bert_jax.embed_words(PARAMS, TOKENIZER, [line], "last")
    assert vectors.shape == (4348 * 6, 16)
    assert vectors.any(axis=1).all()


def test_nothing_in_nothing_out():
    assert bert_jax.embed_words(PARAMS, TOKENIZER, [], "last") == []
    empty = bert_jax.embed_sentences(
        PARAMS, TOKENIZER, [], "concat(all)", out_dtype="float16"
    )
    assert (empty.shape, empty.dtype) == ((0, 48), np.float16)
    assert bert_jax.embed_sentences(PARAMS, TOKENIZER, []).dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "frist"}, 'did you mean "first"'),
        ({"long": "cut"}, "long 'cut'"),
        ({"context": -1}, "context is a number of pieces"),
        ({"max_length": 41}, "not between 3 and the model's 40 positions"),
        ({"token_budget": -1}, "token_budget must be at least 1"),
        ({"layer_spec": "3"}, "0..2"),
    ],
)
def test_wrong_options_are_refused_before_the_first_sentence(options, message):
    def sentences():
        raise AssertionError("read too early")
        yield

    with pytest.raises(ValueError, match=message):
        bert_jax.stream_words(PARAMS, TOKENIZER, sentences(), **options)


def test_a_batch_has_1024_positions_unless_told():
    """On a processor; 128 rows of 8 tokens."""
    rows = []
    bert_jax.embed_words(
        PARAMS, TOKENIZER, ["we sat by the river ."] * 130, "0", on_batch=rows.append
    )
    assert rows == [128, 2]


def test_sentences_come_in_order_with_their_words_and_what_was_not_read():
    sentences = [["we", "\u200b"], "the bank", [], ["\u200b", "sat", "\u200b"]]
    found = list(bert_jax.stream_words(PARAMS, TOKENIZER, sentences, "0"))
    assert [each.words for each in found] == [
        ["we", "\u200b"],
        ["the", "bank"],
        [],
        ["\u200b", "sat", "\u200b"],
    ]
    assert [each.unread for each in found] == [(1,), (), (), (0, 2)]


def test_the_sentence_of_the_first_unread_word_is_named_past_the_first_block(caplog):
    sentences = ["we"] * 300 + [["we", "\u200b"], ["\u200b"]]
    with caplog.at_level(logging.WARNING):
        bert_jax.embed_words(PARAMS, TOKENIZER, sentences, "0")
    assert "2 words gave no piece" in caplog.text
    assert "the first is sentence 300, word 1, '\\u200b'" in caplog.text


def test_a_bare_str_and_a_foreign_tokeniser_are_refused():
    for function in (bert_jax.embed_words, bert_jax.embed_sentences):
        with pytest.raises(ValueError, match="pass a list of sentences"):
            function(PARAMS, TOKENIZER, "the bank", "last")
    small = bert_jax.init_params(
        jax.random.key(0), dataclasses.replace(CONFIG, vocab_size=10)
    )
    with pytest.raises(ValueError, match="do not belong together"):
        bert_jax.embed_words(small, TOKENIZER, ["the bank"], "last")


def test_a_model_may_have_more_rows_than_there_are_pieces():
    """Published tables are padded to a size that processors like."""
    padded = jax.tree.map(jnp.asarray, PARAMS.encoder)
    table = padded["embeddings"]["token"]["embedding"]
    padded["embeddings"]["token"]["embedding"] = jnp.pad(table, ((0, 3), (0, 0)))
    config = dataclasses.replace(CONFIG, vocab_size=len(table) + 3)
    larger = PARAMS.replace(encoder=padded, config=config, heads={})
    (vectors,) = bert_jax.embed_words(larger, TOKENIZER, ["the bank"], "last")
    (expected,) = bert_jax.embed_words(PARAMS, TOKENIZER, ["the bank"], "last")
    np.testing.assert_array_equal(vectors, expected)


def test_reading_is_lazy():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "we sat by the river"

    stream = bert_jax.stream_words(PARAMS, TOKENIZER, endless(), "last")
    for _ in range(3):
        next(stream)
    stream.close()
    # Chunks of seven tokens and one a sentence: one being embedded, one waiting, one
    # being tokenised.
    assert read < 4 * corpus.CORPUS.chunk_batches * 1024 / 8


def test_an_error_while_reading_arrives_after_what_came_before():
    def broken():
        yield from ["we sat", "the bank"]
        raise OSError("disk on fire")

    stream = bert_jax.stream_words(PARAMS, TOKENIZER, broken(), "last")
    with pytest.raises(OSError, match="disk on fire"):
        list(stream)
