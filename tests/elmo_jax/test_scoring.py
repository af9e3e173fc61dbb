# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities: the oracle's, the same in any company, and adding up."""

import itertools
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import elmo_jax
from elmo_jax import ElmoTokenizer, SentenceScore, Vocabulary, scoring
from embed_jax.devices.mesh import data_mesh
from tests.compilations import compiling_quickly
from tests.elmo_jax.batches import program_and_plan
from tests.elmo_jax.oracle_model import oracle_options, oracle_weights
from tests.elmo_jax.sentences import (
    CONFIG,
    FORWARD_TABLE,
    ONE_BLOCK,
    POOL,
    VOCABULARY,
    make_params,
    make_tokenizer,
)
from tests.elmo_jax.test_softmax import shapes_in
from tests.oracles import bilm

# Of the oracle, which computes in float64; the scores are logarithms up to 10.
TOLERANCE = 1e-5
# Of our own scores of the same sentence in other company.
UNMOVED = 2e-6

PARAMS = make_params(ONE_BLOCK, len(VOCABULARY))
TOKENIZER = make_tokenizer(ONE_BLOCK)
# A smaller model, for what does not depend on the model.
SMALLEST = make_params(FORWARD_TABLE, len(VOCABULARY))
SMALLEST_TOKENIZER = make_tokenizer(FORWARD_TABLE)


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled():
    with compiling_quickly():
        yield


def oracle_scores(params, words) -> tuple[np.ndarray, np.ndarray | None]:
    softmax = params.heads["softmax"]
    return bilm.word_log_probs(
        oracle_options(params.config),
        oracle_weights(params),
        words,
        np.asarray(softmax["weights"]),
        np.asarray(softmax["bias"]),
        VOCABULARY.ids,
    )


def score(sentences, params=PARAMS, tokenizer=TOKENIZER, **options):
    return list(elmo_jax.score_sentences(params, tokenizer, sentences, **options))


@pytest.fixture(scope="module")
def expected():
    return [oracle_scores(PARAMS, words) for words in POOL]


@pytest.fixture(scope="module")
def together() -> list[SentenceScore]:
    return score(POOL)


def assert_scores(ours, expected, tolerance):
    """Compare pairs of forward and backward scores."""
    for one, (forward, backward) in zip(ours, expected, strict=True):
        n = len(one.words)
        assert one.forward.shape == one.backward.shape == (n + 1,)
        assert one.forward.dtype == np.float32
        np.testing.assert_allclose(one.forward, forward, rtol=0, atol=tolerance)
        np.testing.assert_allclose(one.backward, backward, rtol=0, atol=tolerance)


def both_ways(scores):
    return [(one.forward, one.backward) for one in scores]


def test_scores_are_the_oracles(together, expected):
    """With both boundaries, unknown words, and specials that stand in the text."""
    assert_scores(together, expected, TOLERANCE)
    assert [one.words for one in together] == POOL
    for one in together:
        unknown = {"<UNK>", "river", "Zürich", "unhappily"}
        assert one.unknown.tolist() == [word in unknown for word in one.words]
    assert POOL[-1] == []
    # Words do make a difference.
    assert np.std(together[0].forward) > 0.1


def test_two_blocks_are_the_oracles():
    """The second one's boundaries have what the first one gave added."""
    params = make_params(CONFIG, len(VOCABULARY))
    ours = score(POOL, params, make_tokenizer(CONFIG))
    assert_scores(ours, [oracle_scores(params, words) for words in POOL], TOLERANCE)


def test_perplexity_is_what_the_sentences_add_up_to(together, expected):
    figures = elmo_jax.perplexity(iter(together))
    # A blank line is no sentence.
    assert POOL[-1] == []
    scored = together[:-1]
    num_tokens = sum(len(words) + 1 for words in POOL[:-1])
    sums = [sum(one[way].sum() for one in expected[:-1]) for way in (0, 1)]
    forward, backward = (math.exp(-total / num_tokens) for total in sums)
    assert figures.forward == pytest.approx(forward, rel=1e-6)
    assert figures.backward == pytest.approx(backward, rel=1e-6)
    assert figures.arithmetic == pytest.approx((forward + backward) / 2, rel=1e-6)
    assert figures.geometric == pytest.approx(
        math.exp(-sum(sums) / 2 / num_tokens), rel=1e-6
    )
    assert figures[4:] == (
        len(scored),
        num_tokens,
        sum(o.unknown.sum() for o in together),
    )
    # Of the scores themselves it is the sum in float64, in whatever order.
    exact = math.fsum(value for one in scored for value in one.forward.tolist())
    assert figures.forward == pytest.approx(math.exp(-exact / num_tokens), rel=1e-12)
    assert elmo_jax.perplexity(together[::-1]) == pytest.approx(figures, rel=1e-12)
    # A sentence's own figure is made of its own scores.
    alone = elmo_jax.perplexity(together[2:3])
    assert alone.forward == pytest.approx(
        math.exp(-together[2].forward.mean(dtype=float)), rel=1e-12
    )


def test_a_million_tokens_add_up_in_float64():
    """In float32 the sum of so many would be wrong in the fourth digit."""
    value = np.float32(-0.1)
    one = SentenceScore(["x"] * 999, np.full(1000, value), None, np.zeros(999, bool))
    figures = elmo_jax.perplexity(one for _ in range(1000))
    assert figures.forward == pytest.approx(math.exp(-float(value)), rel=1e-12)
    assert (figures.backward, figures.num_tokens) == (None, 1_000_000)
    assert figures.geometric == figures.arithmetic == figures.forward


def test_no_sentence_has_no_perplexity():
    with pytest.raises(ValueError, match="no sentence was scored"):
        elmo_jax.perplexity([])
    assert score([]) == []


@pytest.mark.parametrize(("value", "expected"), [(-1e4, math.inf), (-800, math.inf)])
def test_a_hopeless_text_is_infinitely_perplexing(value, expected):
    worst = np.full(2, value, np.float32)
    figures = elmo_jax.perplexity(
        [SentenceScore(["x"], worst, worst, np.ones(1, bool))]
    )
    assert figures[:4] == (expected,) * 4


def test_what_is_not_a_number_is_not_infinity():
    nan = np.full(2, np.nan, np.float32)
    figures = elmo_jax.perplexity([SentenceScore(["x"], nan, nan, np.ones(1, bool))])
    assert math.isnan(figures.forward)
    assert math.isnan(figures.geometric)


@hypothesis.given(
    order=st.permutations(range(len(POOL))),
    # Two batches of one row, and all in one batch.
    budget=st.sampled_from([64, 4096]),
    lazily=st.booleans(),
)
@hypothesis.settings(max_examples=15)
def test_order_and_batching_do_not_move_a_score(together, order, budget, lazily):
    sentences = [POOL[index] for index in order]
    ours = score(iter(sentences) if lazily else sentences, token_budget=budget)
    assert [one.words for one in ours] == sentences
    assert_scores(ours, both_ways(together[i] for i in order), UNMOVED)


def test_parts_do_not_move_a_score(together, expected):
    # A part of five and its boundaries are seven types, one of four has as many rows.
    chosen = [0, 5, 1, 11, 7, 10, 9, 8]
    ours = score([POOL[index] for index in chosen], max_length=5)
    assert_scores(ours, both_ways(together[index] for index in chosen), UNMOVED)
    assert_scores(ours, [expected[index] for index in chosen], TOLERANCE)


@pytest.mark.parametrize("num_devices", [2, 8])
def test_devices_do_not_move_a_score(together, num_devices):
    mesh = data_mesh(jax.devices()[:num_devices])
    assert_scores(score(POOL, mesh=mesh), both_ways(together), UNMOVED)


def test_a_forward_model_of_words():
    ours = score(POOL, SMALLEST, SMALLEST_TOKENIZER)
    for one, words in zip(ours, POOL, strict=True):
        forward, backward = oracle_scores(SMALLEST, words)
        assert backward is None
        assert one.backward is None
        np.testing.assert_allclose(one.forward, forward, rtol=0, atol=TOLERANCE)
    figures = elmo_jax.perplexity(ours)
    assert figures.backward is None
    assert figures.arithmetic == figures.geometric == figures.forward


def test_probabilities_of_all_words_add_up_to_one():
    """What follows "the", over the whole vocabulary."""
    words = [word for word in VOCABULARY.words if word != "</S>"]
    sentences = [["the"], *(["the", word] for word in words)]
    end, *scores = score(sentences, SMALLEST, SMALLEST_TOKENIZER)
    total = math.exp(end.forward[1]) + sum(math.exp(s.forward[1]) for s in scores)
    assert total == pytest.approx(1, abs=1e-5)


def test_bfloat16_is_of_the_products_alone():
    exact, _ = oracle_scores(SMALLEST, POOL[5])
    [ours] = score([POOL[5]], SMALLEST, SMALLEST_TOKENIZER, dtype=jnp.bfloat16)
    assert ours.forward.dtype == np.float32
    assert 1e-5 < np.abs(ours.forward - exact).max() < 5e-2


def test_no_array_has_a_score_for_every_position_and_word():
    num_words, shape = 30_011, (4, 32)
    params = jax.eval_shape(
        lambda key: elmo_jax.init_params(key, ONE_BLOCK, num_words), jax.random.key(0)
    )
    tokens = make_tokenizer(ONE_BLOCK).collate([["the", "bank"]] * shape[0], shape[1])
    log_probs, _ = program_and_plan(scoring, lambda: score([]))
    jaxpr = jax.make_jaxpr(
        lambda *arrays: log_probs(*arrays, None, dtype=jnp.dtype("float32"))
    )(params, tokens, np.zeros((*shape, 3), np.int32))
    contexts = 2 * math.prod(shape) + 2
    shapes = list(shapes_in(jaxpr.jaxpr))
    assert (8192, contexts) in shapes
    assert max(map(math.prod, shapes)) == 8192 * contexts
    assert not any(num_words in shape for shape in shapes)


def test_scores_are_a_list_or_a_stream():
    scores = elmo_jax.score_sentences(SMALLEST, SMALLEST_TOKENIZER, POOL[:3])
    assert isinstance(scores, list)
    read = []

    def text():
        for sentence in itertools.cycle(POOL[:3]):
            read.append(sentence)
            yield sentence

    # Of a text without an end.
    stream = elmo_jax.stream_scores(
        SMALLEST, SMALLEST_TOKENIZER, text(), token_budget=64
    )
    for expected, streamed in zip(scores, stream, strict=False):
        assert streamed.words == expected.words
        np.testing.assert_allclose(streamed.forward, expected.forward, atol=UNMOVED)
    assert read


def test_what_cannot_score_is_refused_at_once():
    def sentences():
        raise AssertionError("read too early")
        yield

    other = Vocabulary((*VOCABULARY.words, "more"))
    cases = [
        ((PARAMS.replace(heads={}), TOKENIZER), {}, "no softmax, .* softmax="),
        ((PARAMS, ElmoTokenizer(ONE_BLOCK)), {}, "no vocabulary, .* vocabulary="),
        ((PARAMS, ElmoTokenizer(ONE_BLOCK, other)), {}, "11 words, the .* has 12"),
        ((PARAMS, make_tokenizer(CONFIG)), {}, "another model's"),
        ((PARAMS, TOKENIZER), {"max_length": 0}, "max_length .* at least 1, not 0"),
        ((PARAMS, TOKENIZER), {"token_budget": 0}, "token_budget .* not"),
        ((PARAMS, TOKENIZER), {"dtype": "float31"}, "dtype 'float31' is not one of"),
    ]
    for model, options, message in cases:
        for name in ("score_sentences", "stream_scores"):
            named = rf"^{name}\(\): .*{message}"
            with pytest.raises(ValueError, match=named) as caught:
                getattr(elmo_jax, name)(*model, sentences(), **options)
            assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="pass a list of sentences"):
        elmo_jax.score_sentences(PARAMS, TOKENIZER, "the bank")
