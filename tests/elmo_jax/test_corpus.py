# SPDX-License-Identifier: Apache-2.0
"""Text to vectors at scale: those of each sentence alone, whatever it is read with."""

import json
import subprocess
import sys
from functools import partial

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import elmo_jax
from elmo_jax import (
    CharCnnConfig,
    ElmoConfig,
    ElmoParams,
    ElmoTokenizer,
    Vocabulary,
    corpus,
)
from elmo_jax.packed_runner import PackedRunner
from elmo_jax.packing import PackedBatch
from embed_jax.devices.mesh import data_mesh
from embed_jax.layers.scalar_mix import ScalarMix
from tests.compilations import compiling_quickly, counting_compilations
from tests.elmo_jax.oracle_model import (
    draw_carry,
    jit,
    oracle_state,
    run_oracle,
    widen,
)
from tests.elmo_jax.sentences import (
    CONFIG,
    FORWARD_TABLE,
    ONE_BLOCK,
    POOL,
    VOCABULARY,
    make_params,
    make_tokenizer,
)
from tests.oracles import bilm

TOLERANCE = 1e-6
ALL = "concat(all)"
LENGTH = 32

PARAMS = make_params(CONFIG)
TOKENIZER = make_tokenizer(CONFIG)
# Smaller models, for what does not depend on the model.
SMALL = make_params(ONE_BLOCK)
SMALL_TOKENIZER = make_tokenizer(ONE_BLOCK)
SMALLEST = make_params(FORWARD_TABLE)
SMALLEST_TOKENIZER = make_tokenizer(FORWARD_TABLE)


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled():
    with compiling_quickly():
        yield


def by_layer(params: ElmoParams, words: list[str]) -> np.ndarray:
    """The oracle's vectors of every layer, side by side: `[words, L * D]`."""
    state = oracle_state(params.start) if params.start else None
    layers, _ = run_oracle(params, words, VOCABULARY, state)
    return np.concatenate(list(layers), axis=-1)


@pytest.fixture(scope="module")
def alone() -> list[np.ndarray]:
    """Every layer of each sentence in a batch of its own."""
    encode = jit(elmo_jax.encode.__wrapped__)
    vectors = []
    for words in POOL:
        tokens = widen(TOKENIZER.collate([words], LENGTH), CONFIG, 1, 12)
        layers = np.asarray(encode(PARAMS, tokens))[0, :, : len(words)]
        vectors.append(np.concatenate(list(layers), axis=-1))
    return vectors


def assert_close(ours, expected):
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max(initial=0) <= TOLERANCE


def assert_all_close(ours, expected):
    for one, other in zip(ours, expected, strict=True):
        assert_close(one, other)


def test_words_are_those_of_each_sentence_alone_and_the_oracles(alone):
    vectors = elmo_jax.embed_words(PARAMS, TOKENIZER, POOL, ALL)
    assert [len(of_one) for of_one in vectors] == [len(words) for words in POOL]
    assert {of_one.shape[1] for of_one in vectors} == {48}
    assert_all_close(vectors, alone)
    assert_all_close(vectors, [by_layer(PARAMS, words) for words in POOL])
    # Neighbours that are seen would be seen here.
    joined = by_layer(PARAMS, POOL[5] + POOL[6])
    assert np.abs(joined[: len(POOL[5]), 16:] - alone[5][:, 16:]).max() > 0.01


def as_text(words: list[str]) -> str | list[str]:
    """Write a sentence as raw text, if it is split into the same words."""
    text = " ".join(words)
    return text if TOKENIZER.split(text) == words else words


@hypothesis.given(
    order=st.permutations(range(len(POOL))),
    # Two batches of one row, and all in one batch.
    budget=st.sampled_from([64, 8192]),
    raw=st.booleans(),
    lazily=st.booleans(),
)
@hypothesis.settings(max_examples=25)
def test_order_and_batching_do_not_move_a_vector(alone, order, budget, raw, lazily):
    sentences = [as_text(POOL[i]) if raw else POOL[i] for i in order]
    assert any(isinstance(sentence, str) for sentence in sentences) == raw
    vectors = elmo_jax.embed_words(
        PARAMS,
        TOKENIZER,
        iter(sentences) if lazily else sentences,
        ALL,
        token_budget=budget,
    )
    assert_all_close(vectors, [alone[index] for index in order])


@partial(jax.jit, static_argnames="dtype")
def every_layer(params, tokens, targets, carry, *, dtype):
    output = elmo_jax.apply_bilm(params, tokens, carry=carry, dtype=dtype)
    return jnp.concatenate(output.layers, axis=-1), output.carry


@pytest.fixture(scope="module")
def read() -> PackedRunner:
    return PackedRunner(
        PARAMS,
        TOKENIZER,
        every_layer,
        highest_layer=2,
        max_length=LENGTH,
        num_positions=64,
        dtype=jnp.dtype(jnp.float32),
    )


@hypothesis.given(st.permutations(range(len(POOL) - 1)), st.randoms())
def test_no_layout_moves_a_vector(alone, read, order, rng):
    """Wherever sentences stand in rows, close together or apart."""
    ends, indices, places = [0, 0, 0], [], []
    for index in order:
        gap = rng.choice([0, 0, 1, 2])
        rows = [row for row in range(3) if ends[row] + gap + len(POOL[index]) <= LENGTH]
        if rows:
            row = rng.choice(rows)
            indices.append(index)
            places.append((row, ends[row] + gap))
            ends[row] += gap + len(POOL[index])
    sentences = [POOL[index] for index in indices]
    # Batches with fewer types would be of other shapes.
    hypothesis.assume(max(map(len, sentences)) >= 10)
    batch = PackedBatch(indices, places, list(map(len, sentences)), 3, LENGTH)
    vectors = batch.split(np.asarray(read(sentences, batch)))
    assert_all_close(vectors, [alone[index] for index in indices])


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_devices_do_not_move_a_vector(num_devices):
    mesh = data_mesh(jax.devices()[:num_devices])
    vectors = elmo_jax.embed_words(SMALL, SMALL_TOKENIZER, POOL, ALL, mesh=mesh)
    assert_all_close(vectors, [by_layer(SMALL, words) for words in POOL])


# A part of five and its boundaries are seven types, a batch of these has twelve.
LONG = [POOL[0], POOL[5], POOL[1], [], POOL[7], POOL[10], POOL[9], POOL[8]]


@pytest.fixture(scope="module")
def warm() -> ElmoParams:
    """A model whose sentences do not begin from zeros."""
    return PARAMS.replace(start=draw_carry(CONFIG, 1))


def test_long_sentences_are_read_in_parts_exactly(warm):
    vectors = elmo_jax.embed_words(warm, TOKENIZER, LONG, ALL, max_length=5)
    assert_all_close(vectors, [by_layer(warm, words) for words in LONG])
    # The start is not that of zeros.
    assert np.abs(vectors[0][0] - by_layer(PARAMS, LONG[0])[0]).max() > 0.01
    backwards = elmo_jax.embed_words(warm, TOKENIZER, LONG[::-1], ALL, max_length=5)
    assert_all_close(backwards, vectors[::-1])


def test_parts_on_several_devices():
    mesh = data_mesh(jax.devices()[:2])
    [vectors] = elmo_jax.embed_words(
        SMALLEST, SMALLEST_TOKENIZER, [POOL[1]], ALL, max_length=5, mesh=mesh
    )
    assert_close(vectors, by_layer(SMALLEST, POOL[1]))


def test_a_forward_model_of_words():
    sentences = [POOL[0], [], POOL[7]]
    expected = [by_layer(SMALLEST, words) for words in sentences]
    assert expected[0].shape == (30, 16)
    for max_length in (None, 5):
        vectors = elmo_jax.embed_words(
            SMALLEST, SMALLEST_TOKENIZER, sentences, ALL, max_length=max_length
        )
        assert_all_close(vectors, expected)


@pytest.mark.parametrize("pool", ["first", "last", "mean", "max", "first_last"])
def test_every_pool_of_pieces_is_the_word(alone, pool):
    vectors = elmo_jax.embed_words(PARAMS, TOKENIZER, POOL, ALL, pool=pool)
    expected = alone
    if pool == "first_last":
        expected = [np.concatenate([one, one], axis=-1) for one in alone]
    assert_all_close(vectors, expected)
    assert elmo_jax.vector_width(PARAMS, ALL, pool) == vectors[0].shape[1]


@pytest.mark.parametrize("pool", ["mean", "max", "mean_sqrt_len"])
def test_sentence_pools(pool):
    """Over the words of a sentence, to the last digit of float32."""
    vectors = elmo_jax.embed_sentences(PARAMS, TOKENIZER, POOL, ALL, pool=pool)
    words = elmo_jax.embed_words(PARAMS, TOKENIZER, POOL, ALL)
    assert vectors.dtype == np.float32
    for ours, of_one in zip(vectors, words, strict=True):
        if not len(of_one):
            assert not ours.any()
            continue
        exact = of_one.astype(np.float64)
        expected = {
            "mean": exact.mean(0),
            "max": exact.max(0),
            "mean_sqrt_len": exact.sum(0) / np.sqrt(len(exact)),
        }[pool]
        np.testing.assert_allclose(ours, expected, rtol=6e-8, atol=1e-9)


def test_sentences_come_with_their_words_and_report_what_is_done():
    done = []
    stream = elmo_jax.stream_sentences(
        PARAMS, TOKENIZER, POOL, ALL, pool="max", on_batch=done.append
    )
    embedded = list(stream)
    assert [one.words for one in embedded] == POOL
    assert [one.vectors.shape for one in embedded] == [(1, 48)] * len(POOL)
    assert sum(done) == len(POOL) - 1  # the empty one is in no batch


def test_raw_text_is_split_and_a_list_is_not():
    text = "The bank, didn't it?"
    sentences = [text, TOKENIZER.split(text), text.split(" ")]
    raw, same, other = elmo_jax.stream_words(SMALL, SMALL_TOKENIZER, sentences)
    assert raw.words == ["The", "bank", ",", "didn", "'t", "it", "?"]
    assert other.words == ["The", "bank,", "didn't", "it?"]
    assert_close(raw.vectors, same.vectors)
    assert_close(other.vectors, by_layer(SMALL, other.words)[:, 16:])


def test_blank_sentences_cost_no_computation():
    blank = ["", " \t\u3000 ", []] * 9
    # A spec that no other test has, so that nothing of it is compiled yet.
    with counting_compilations() as compiled:
        words = elmo_jax.embed_words(PARAMS, TOKENIZER, blank, "concat(0,1,0)")
        vectors = elmo_jax.embed_sentences(PARAMS, TOKENIZER, blank, "concat(0,1,0)")
    assert [of_one.shape for of_one in words] == [(0, 48)] * 27
    assert vectors.shape == (27, 48)
    assert not vectors.any()
    assert compiled == []


def test_vectors_are_the_callers_own():
    """Even those that were all of their batch: eight words in a row of eight."""
    for words, max_length in ((POOL[3][:8], None), (POOL[2], 8)):
        [vectors] = elmo_jax.embed_words(
            SMALLEST,
            SMALLEST_TOKENIZER,
            [words],
            "0",
            token_budget=64,
            max_length=max_length,
        )
        expected = by_layer(SMALLEST, words)[:, :8]
        assert_close(vectors, expected)
        vectors += 1
        assert_close(vectors, expected + 1)


def test_a_batch_may_hold_no_word_twice(alone, monkeypatch):
    """More distinct words than are kept otherwise are kept for its sake."""
    monkeypatch.setattr("elmo_jax.packed_runner.NUM_TYPES", 4)
    assert len({word for words in POOL[:4] for word in words}) > 4
    vectors = elmo_jax.embed_words(PARAMS, TOKENIZER, POOL[:4], ALL, token_budget=64)
    assert_all_close(vectors, alone[:4])


def test_nothing_in_nothing_out():
    assert elmo_jax.embed_words(PARAMS, TOKENIZER, []) == []
    empty = elmo_jax.embed_sentences(
        PARAMS, TOKENIZER, [], "last,0", out_dtype=jnp.float16
    )
    assert (empty.shape, empty.dtype) == ((0, 32), np.float16)


def test_mix_norm_is_the_oracles_for_each_sentence_alone():
    mix = ScalarMix(weights=jnp.array([0.3, -0.4]), gamma=jnp.float32(1.5))
    sentences = [POOL[5], [], POOL[6], POOL[9]]
    vectors = elmo_jax.embed_words(
        SMALLEST, SMALLEST_TOKENIZER, sentences, "mix_norm(all)", mix=mix
    )
    for ours, words in zip(vectors, sentences, strict=True):
        if not words:
            assert ours.shape == (0, 8)
            continue
        layers, _ = run_oracle(SMALLEST, words, VOCABULARY)
        [expected] = bilm.mix([layers], [0.3, -0.4], 1.5, layer_norm=True)
        assert_close(ours, expected)


def test_mix_norm_of_a_sentence_does_not_depend_on_company():
    arguments = SMALLEST, SMALLEST_TOKENIZER
    sentences = [POOL[5], [], POOL[6], POOL[9]]
    together = elmo_jax.embed_sentences(*arguments, sentences, "mix_norm(all)")
    alone = elmo_jax.embed_sentences(*arguments, sentences[2:3], "mix_norm(all)")
    assert_close(together[2], alone[0])


def test_a_learned_mix_is_the_oracles():
    mixes = (
        ScalarMix(weights=jnp.array([0.3, -0.4]), gamma=jnp.float32(1.5)),
        ScalarMix(weights=jnp.array([2.0]), gamma=jnp.float32(0.5)),
    )
    [ours] = elmo_jax.embed_words(
        SMALLEST, SMALLEST_TOKENIZER, [POOL[5]], "mix(all),mix(last)", mix=mixes
    )
    layers, _ = run_oracle(SMALLEST, POOL[5], VOCABULARY)
    [first] = bilm.mix([layers], [0.3, -0.4], 1.5)
    assert_close(ours, np.concatenate([first, 0.5 * layers[-1]], axis=-1))


def test_truncation_reads_the_beginning(warm):
    """The same rows as a part of five words gives, and zeros beyond."""
    sentences = [POOL[0], POOL[7], POOL[8], POOL[10], POOL[9]]
    stream = elmo_jax.stream_words(
        warm, TOKENIZER, sentences, ALL, long="truncate", max_length=5
    )
    for embedded, words in zip(stream, sentences, strict=True):
        assert embedded.words == words
        assert embedded.unread == tuple(range(5, len(words)))
        assert_close(embedded.vectors[:5], by_layer(warm, words[:5]))
        assert not embedded.vectors[5:].any()


@pytest.mark.parametrize("spec", ["last", "mix_norm(all)"])
def test_a_long_sentence_is_refused_where_it_cannot_be_read_whole(spec):
    long = "error" if spec == "last" else "window"
    with pytest.raises(ValueError, match=r"sentence 2 has 9 words, .* max_length 8"):
        elmo_jax.embed_words(
            PARAMS, TOKENIZER, [[], [], POOL[5]], spec, long=long, max_length=8
        )


def test_a_sentence_that_is_too_long_is_named_past_the_first_block():
    sentences = [*[["we"]] * 300, ["we"] * 5]
    with pytest.raises(ValueError, match="sentence 300 has 5 words, more than max"):
        elmo_jax.embed_words(
            SMALLEST, SMALLEST_TOKENIZER, sentences, "0", long="error", max_length=4
        )


def test_a_sentence_of_the_longest_length_is_not_too_long():
    (vectors,) = elmo_jax.embed_words(
        SMALLEST, SMALLEST_TOKENIZER, [["we"] * 4], "0", long="error", max_length=4
    )
    assert vectors.shape == (4, 8)


def test_1024_words_are_computed_at_once_unless_told():
    arguments = SMALLEST, SMALLEST_TOKENIZER
    [vectors] = elmo_jax.embed_words(*arguments, [["we"] * 1024], "0", long="error")
    assert vectors.shape == (1024, 8)
    with pytest.raises(ValueError, match="has 1025 words, more than max_length 1024"):
        elmo_jax.embed_words(*arguments, [["we"] * 1025], "0", long="error")


def test_a_batch_has_8192_positions_unless_told():
    """On a processor; 128 rows of 64 words."""
    rows = []
    sentences = [["we"] * 64] * 130
    arguments = SMALLEST, SMALLEST_TOKENIZER, sentences, "0"
    elmo_jax.embed_words(*arguments, on_batch=rows.append)
    assert rows == [128, 2]


def test_half_precision_of_products_and_of_results():
    sentences = [POOL[5], POOL[9]]
    options = {"dtype": jnp.bfloat16, "out_dtype": jnp.float16}
    words = elmo_jax.embed_words(
        SMALLEST, SMALLEST_TOKENIZER, sentences, ALL, **options
    )
    for ours, one in zip(words, sentences, strict=True):
        assert ours.dtype == np.float16
        expected = by_layer(SMALLEST, one)
        distance = np.abs(ours - expected).max()
        assert 1e-4 < distance < 5e-2


WRONG_OPTIONS = [
    ({"pool": "frist"}, 'did you mean "first"'),
    ({"long": "cut"}, "long 'cut'"),
    ({"context": 3}, "context 3: a biLM reads each sentence alone"),
    ({"context": "document"}, "context 'document'"),
    ({"max_length": 0}, "max_length must be at least 1, not 0"),
    ({"token_budget": 0}, "token_budget must be at least 1, not 0"),
    ({"token_budget": -64}, "token_budget must be at least 1, not -64"),
    ({"layer_spec": "3"}, r"0\.\.2"),
    ({"layer_spec": "lst"}, 'did you mean "last"'),
]


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS)
@pytest.mark.parametrize("stream", ["stream_words", "stream_sentences"])
def test_wrong_options_are_refused_before_the_first_sentence(stream, options, message):
    def sentences():
        raise AssertionError("read too early")
        yield

    if stream == "stream_sentences" and "pool" in options:
        options, message = {"pool": "cls"}, "mean, max, mean_sqrt_len"
    with pytest.raises(ValueError, match=message) as caught:
        getattr(elmo_jax, stream)(PARAMS, TOKENIZER, sentences(), **options)
    assert "\n" not in str(caught.value)


def test_a_bare_str_and_a_foreign_tokeniser_are_refused():
    for function in (
        elmo_jax.embed_words,
        elmo_jax.embed_sentences,
        elmo_jax.score_sentences,
    ):
        with pytest.raises(ValueError, match="pass a list of sentences"):
            function(PARAMS, TOKENIZER, "the bank")
    with pytest.raises(ValueError, match="another model's; use both that load gave"):
        elmo_jax.embed_words(PARAMS, SMALL_TOKENIZER, ["the bank"])


def test_a_mix_of_another_size_is_refused():
    mix = ScalarMix.init(7)
    with pytest.raises(ValueError, match=r"weights of shape \(3,\)"):
        elmo_jax.embed_words(PARAMS, TOKENIZER, [["the"]], "mix(all)", mix=mix)


def test_reading_is_lazy():
    num_read = 0

    def endless():
        nonlocal num_read
        while True:
            num_read += 1
            yield POOL[3][:8]

    # Eight sentences fill the row of a batch.
    stream = elmo_jax.stream_words(
        SMALLEST, SMALLEST_TOKENIZER, endless(), "0", token_budget=64
    )
    for _ in range(3):
        next(stream)
    stream.close()
    # Chunks of at most 512 words: one being computed, one waiting, one being read; and
    # 64 sentences that have arrived before they are asked for.
    assert num_read < 4 * corpus.CORPUS.chunk_batches * 64 / 8 + 64


def test_an_error_while_reading_arrives():
    def broken():
        yield from [[], []]
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        list(elmo_jax.stream_words(PARAMS, TOKENIZER, broken()))


# The smallest model there can be; its sentences are as long as they like.
GIANT = """
import dataclasses, json, resource, sys, time
import jax, numpy as np
import elmo_jax

what, num_words, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
params, tokenizer = elmo_jax.load(path)
rng = np.random.default_rng(0)
words = [f"word{number}" for number in rng.integers(0, 5000, num_words)]
started = time.monotonic()
if what == "words":
    # A layer as often as it takes for results that are not lost in the rest.
    spec = ",".join(["1"] * 12)
    [one] = elmo_jax.stream_words(params, tokenizer, [words], spec)
    result = one.vectors
else:
    [one] = elmo_jax.score_sentences(params, tokenizer, [words])
    result = np.stack([one.forward, one.backward])
print(json.dumps({
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "result": result.nbytes / 2**20,
    "shape": result.shape,
    "finite": bool(np.isfinite(result).all()),
    "seconds": time.monotonic() - started,
}))
"""


@pytest.fixture(scope="module")
def least(tmp_path_factory):
    """A cell of 8, a projection of 4, one block; 40 words."""
    config = ElmoConfig(
        char_cnn=CharCnnConfig(
            embedding_dim=2, filters=((1, 2), (2, 4)), num_highways=1
        ),
        num_blocks=1,
        cell_dim=8,
        projection_dim=4,
    )
    vocabulary = Vocabulary(("<S>", "</S>", "<UNK>", *map("word{}".format, range(37))))
    params = make_params(config, len(vocabulary))
    tokenizer = ElmoTokenizer(config, vocabulary)
    path = tmp_path_factory.mktemp("models") / "least"
    elmo_jax.save(path, params, tokenizer)
    return path


def measure(what: str, num_words: int, path) -> dict:
    process = subprocess.run(
        [sys.executable, "-c", GIANT, what, str(num_words), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["words", "scores"])
def test_a_sentence_of_a_million_words_costs_its_result_and_little_more(least, what):
    small, large = (measure(what, number, least) for number in (10_000, 1_000_000))
    print(what, small, large)  # noqa: T201 (shown with -s, to be recorded)
    assert large["finite"]
    assert large["shape"] == {"words": [10**6, 96], "scores": [2, 10**6 + 1]}[what]
    # In megabytes; the words themselves are some eighty of them.
    assert large["peak"] - small["peak"] <= large["result"] + 300


@pytest.mark.slow
def test_20_000_words_in_parts_are_those_in_one(least):
    params, tokenizer = elmo_jax.load(least)
    rng = np.random.default_rng(0)
    words = [f"word{number}" for number in rng.integers(0, 60, 20_000)]
    [whole] = elmo_jax.embed_words(params, tokenizer, [words], ALL, max_length=20_000)
    [scored] = elmo_jax.score_sentences(params, tokenizer, [words], max_length=20_000)
    for max_length in (None, 777):
        [parts] = elmo_jax.embed_words(
            params, tokenizer, [words], ALL, max_length=max_length
        )
        assert_close(parts, whole)
        [score] = elmo_jax.score_sentences(
            params, tokenizer, [words], max_length=max_length
        )
        for ours, expected in zip(score[1:3], scored[1:3], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6)
    means = elmo_jax.embed_sentences(params, tokenizer, [words], ALL)
    np.testing.assert_allclose(means[0], whole.mean(axis=0, dtype=float), atol=1e-6)
