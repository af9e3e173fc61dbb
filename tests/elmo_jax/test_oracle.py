# SPDX-License-Identifier: Apache-2.0
"""Every layer agrees with the slow oracle within 1e-6, in all kinds of models.

The oracle computes in float64, on the model's float32 weights. Weights and clips are
such that gates saturate, and that a clip which is forgotten is seen at once.
"""

import dataclasses

import jax
import numpy as np
import pytest

import elmo_jax
from elmo_jax import (
    CharCnnConfig,
    ElmoConfig,
    ElmoParams,
    ElmoTokenizer,
    ElmoTokens,
    Vocabulary,
)
from elmo_jax.bilm import BiLm, BiLmOutput
from tests.elmo_jax.oracle_model import (
    DIRECTIONS,
    draw_carry,
    draw_params,
    jit,
    join,
    oracle_options,
    oracle_state,
    oracle_weights,
    run_model,
    run_oracle,
    widen,
)
from tests.oracles import bilm

pytestmark = pytest.mark.optimised

TOLERANCE = 1e-6

CHAR_CNN = CharCnnConfig(
    embedding_dim=4, filters=((1, 4), (2, 8), (3, 8), (5, 12)), num_highways=2
)
CONFIG = ElmoConfig(
    char_cnn=CHAR_CNN,
    cell_dim=24,
    projection_dim=12,
    cell_clip=0.3,
    projection_clip=0.1,
)
TABLE = dataclasses.replace(CONFIG, char_cnn=None, vocab_size=30)
VOCABULARY = Vocabulary(("<S>", "</S>", "<UNK>", *map(str, range(27))))


def change(config: ElmoConfig = CONFIG, /, **changes) -> ElmoConfig:
    return dataclasses.replace(config, **changes)


def change_characters(**changes) -> ElmoConfig:
    return change(CONFIG, char_cnn=dataclasses.replace(CHAR_CNN, **changes))


CONFIGS = {
    "as_published": CONFIG,
    "no_skip": change(change_characters(num_highways=1), skip_connections=False),
    "three_layers": change(change_characters(num_highways=0), num_blocks=3),
    "three_layers_no_skip": change(TABLE, num_blocks=3, skip_connections=False),
    "one_layer": change(change_characters(activation="tanh"), num_blocks=1),
    "no_clip": change(cell_clip=None, projection_clip=None),
    "cell_clip_alone": change(TABLE, projection_clip=None),
    "projection_clip_alone": change(TABLE, cell_clip=None),
    "no_projection": change(change_characters(max_characters=6), projection_dim=24),
    "filters_as_wide_as_the_layer": change_characters(filters=((2, 5), (3, 7))),
    "one_way": change(bidirectional=False),
    "one_way_no_projection": change(TABLE, bidirectional=False, projection_dim=24),
    "one_way_one_layer": change(TABLE, bidirectional=False, num_blocks=1),
}


def word_of(num_bytes: int) -> str:
    """Spell a word of so many bytes, other ones for every length."""
    return "".join(chr(97 + (num_bytes + 7 * i * i) % 26) for i in range(num_bytes))


ODD_WORDS = [
    "",
    "x" * 47 + "é",  # 49 bytes: the cut at 48 leaves half a letter
    "xx" + "€" * 17,
    "😀" * 13,
    "\ud800",
    "a\udfffb",
    "<S>",
    "</S>",
    "<s>",
    "<UNK>",
    "Zürich",
    "no\u00a0break",
    "\u3000",
]
SENTENCES = [
    [],
    ["river"],
    [word_of(n) for n in range(1, 21)],
    ODD_WORDS,
    [word_of(n) for n in range(21, 41)],
    [""],
    ["the", "bank", "of", "the", "river", "the", "bank"],
    [word_of(n) for n in range(41, 61)],
    [],
]
NUMBERS = [
    [],
    ["3"],
    ["5", "<UNK>", "unknown", "7", "7", "<S>", "26", "never", "</S>", "0"],
    [str(number) for number in range(20)],
    ["unknown"],
]


# The shape of most batches here, so that a model is compiled once.
NUM_ROWS, LENGTH, NUM_TYPES = 9, 20, 88


def inputs(config: ElmoConfig):
    """The tokeniser of a model, its vocabulary and sentences that it can read."""
    if config.char_cnn:
        return ElmoTokenizer(config), None, SENTENCES
    return ElmoTokenizer(config, VOCABULARY), VOCABULARY, NUMBERS


def run(params: ElmoParams, tokens: ElmoTokens, **options) -> BiLmOutput:
    tokens = widen(tokens, params.config, NUM_ROWS, NUM_TYPES)
    return run_model(params, tokens, **options)


def rows_of(output: BiLmOutput) -> np.ndarray:
    """Layers by row: [B, L+1, T, D]."""
    return np.stack(output.layers, axis=1)


def assert_close(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max(initial=0) <= TOLERANCE


def assert_boundaries(
    params: ElmoParams, output: BiLmOutput, vocabulary: Vocabulary | None
):
    """Compare what each direction gives where it begins: at `<S>`, and at `</S>`."""
    layers, _ = bilm.run_with_boundaries(
        oracle_options(params.config),
        oracle_weights(params),
        [],
        vocabulary and vocabulary.ids,
        oracle_state(params.start) if params.start else None,
    )
    P = params.config.projection_dim
    sides = [layers[:, 0, :P], layers[:, -1, P:]]
    assert_close(np.stack(output.boundaries), np.concatenate(sides, axis=-1))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_layer_is_the_oracles(name):
    config = CONFIGS[name]
    params = draw_params(config)
    tokenizer, vocabulary, sentences = inputs(config)
    output = run(params, tokenizer.collate(sentences, LENGTH))
    theirs, states = zip(
        *(run_oracle(params, sentence, vocabulary) for sentence in sentences),
        strict=True,
    )
    for ours, expected in zip(rows_of(output), theirs, strict=False):
        assert expected.shape[0] == config.num_blocks + 1
        assert_close(ours[:, : expected.shape[1]], expected)
    assert_boundaries(params, output, vocabulary)

    # The clips of the model have bitten: many values lie at them, and without them
    # every layer is another.
    first = np.concatenate([expected[1] for expected in theirs])
    cells = np.array([cell for state in states for way in state for cell, _ in way])
    clipped = {"cell_clip": cells, "projection_clip": first}
    if not config.has_projection:
        # This clip is for the projection alone.
        assert np.abs(clipped.pop("projection_clip")).max() > 0.2
    for clip, values in clipped.items():
        bound = getattr(config, clip)
        if bound is None:
            continue
        assert 0.2 < np.mean(np.abs(values) == bound) < 0.9, clip
        free = params.replace(config=dataclasses.replace(config, **{clip: None}))
        unclipped, _ = run_oracle(free, sentences[2], vocabulary)
        for layer in range(1, config.num_blocks + 1):
            assert np.abs(unclipped[layer] - theirs[2][layer]).max() > 0.05, clip


def test_encode_is_the_oracle():
    """The public entry, with the compiler's own options and the tokeniser's shapes."""
    params = draw_params(CONFIG)
    layers = np.asarray(elmo_jax.encode(params, ElmoTokenizer(CONFIG)(SENTENCES)))
    for ours, words in zip(layers, SENTENCES, strict=True):
        expected, _ = run_oracle(params, words)
        assert_close(ours[:, : len(words)], expected)


@pytest.mark.parametrize("name", ["as_published", "no_clip", "no_projection"])
def test_the_weights_saturate_a_part_of_the_gates(name, monkeypatch):
    gates = []

    def record(values):
        gates.append(sigmoid(values))
        return gates[-1]

    sigmoid = bilm.sigmoid
    monkeypatch.setattr(bilm, "sigmoid", record)
    params = draw_params(change(TABLE, **_own_changes(CONFIGS[name])))
    run_oracle(params, NUMBERS[3], VOCABULARY)
    saturated = np.abs(np.concatenate(gates) - 0.5) > 0.45
    assert 0.1 < saturated.mean() < 0.5


def _own_changes(config: ElmoConfig) -> dict:
    names = ("cell_clip", "projection_clip", "projection_dim")
    return {name: getattr(config, name) for name in names}


@pytest.mark.parametrize("hoist", [True, False])
def test_both_divisions_of_the_product_are_the_oracles(hoist):
    """More types than positions: the first layer reads a vector a position."""
    params = draw_params(TABLE)
    words = ["4", "unknown", "7", "7", "25"]
    tokens = ElmoTokenizer(TABLE, VOCABULARY)([words])
    assert len(tokens.types) > tokens.words.size
    apply = jit(BiLm(TABLE, hoist=hoist).apply)
    output = apply({"params": params.encoder}, tokens)
    expected, _ = run_oracle(params, words, VOCABULARY)
    assert_close(rows_of(output)[0], expected)


@pytest.mark.parametrize("name", ["as_published", "three_layers_no_skip", "one_way"])
def test_a_carry_goes_through_both_boundaries(name):
    config = CONFIGS[name]
    params = draw_params(config)
    tokenizer, vocabulary, sentences = inputs(config)
    words = sentences[2]
    batches = [
        [words[:4], words[4:5], []],
        [[], words[5:8], words[8:10]],
        [words[1:3], [], words[:1]],
        [words[3:8], words[:4], []],
    ]
    carry = elmo_jax.zero_carry(config, 3)
    states = [bilm.zero_state(oracle_options(config))] * 3
    for batch in batches:
        tokens = widen(tokenizer.collate(batch, 5), config, 3, 16)
        vectors, carry = elmo_jax.embed(params, tokens, "concat(all)", carry=carry)
        for row, sentence in enumerate(batch):
            expected, states[row] = run_oracle(
                params, sentence, vocabulary, states[row]
            )
            ours = np.asarray(vectors)[row]
            assert_close(ours[: len(sentence)], np.concatenate(expected, axis=-1))
            assert not ours[len(sentence) :].any()
            jax.tree.map(assert_close, oracle_state(carry, row), states[row])
    # What went before is seen.
    fresh, _ = run_oracle(params, batch[0], vocabulary)
    assert np.abs(vectors[0] - np.concatenate(fresh, axis=-1)).max() > 0.01


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("name", ["as_published", "one_way"])
def test_sentences_end_to_end_in_a_row_do_not_meet(name, start):
    """Nor do those of rows of their own; each begins from the start state."""
    config = CONFIGS[name]
    params = draw_params(config)
    state = None
    if start:
        params = params.replace(start=draw_carry(config, 1))
        state = oracle_state(params.start)
    tokenizer, vocabulary, sentences = inputs(config)
    words = sentences[3]
    rows = [
        [words[:3], words[3:4], words[4:5], words[5:]],
        [words[2:7], words[1:3], words[1:3]],
        [words],
        [words[:1]],
        [],
    ]
    output = run(params, join(tokenizer, rows, LENGTH))
    for ours, row in zip(rows_of(output), rows, strict=False):
        place = 0
        for sentence in row:
            expected, _ = run_oracle(params, sentence, vocabulary, state)
            assert_close(ours[:, place : place + len(sentence)], expected)
            place += len(sentence)
    assert_boundaries(params, output, vocabulary)
    if start:
        fresh, _ = run_oracle(params, words, vocabulary)
        distance = np.abs(rows_of(output)[2, :, : len(words)] - fresh)
        assert distance[1:, :, : config.projection_dim].max() > 0.01


def test_a_sentence_may_go_on_in_the_next_batch():
    """Each direction takes up its state in its own order of reading.

    Rows are cut at position 4: the forward LM reads the left halves first, the backward
    one the right halves. Padding, which leaves states as they are, stands between.
    """
    params = draw_params(TABLE)
    words = NUMBERS[2]
    tokens = ElmoTokenizer(TABLE, VOCABULARY)([words[:9], words[3:10]])

    def cut(part: slice) -> ElmoTokens:
        kept = (np.asarray(leaf)[:, part] for leaf in tokens[1:])
        padded = (np.pad(leaf, ((0, 0), (0, 6 - leaf.shape[1]))) for leaf in kept)
        return ElmoTokens(tokens.types, *padded)

    left, right = cut(slice(4)), cut(slice(4, None))
    P = TABLE.projection_dim
    for direction, batches in enumerate([(left, right), (right, left)]):
        carry = elmo_jax.zero_carry(TABLE, 2)
        halves = []
        for batch in batches:
            output = run_model(params, batch, carry=carry)
            carry = output.carry
            halves.append(rows_of(output))
        in_order = halves if direction == 0 else halves[::-1]
        joined = np.concatenate([in_order[0][:, :, :4], in_order[1]], axis=2)
        mine = slice(direction * P, (direction + 1) * P)
        for ours, sentence in zip(joined, (words[:9], words[3:10]), strict=True):
            expected, _ = run_oracle(params, sentence, VOCABULARY)
            assert_close(ours[:, : len(sentence), mine], expected[:, :, mine])


def test_weights_reach_the_oracle_under_every_published_name():
    """Were a weight left out of the translation, the oracle would stop, not agree."""
    params = draw_params(change(num_blocks=1))
    assert sorted(oracle_weights(params)) == sorted(
        [
            "char_embed",
            *(f"CNN/{kind}_cnn_{i}" for kind in "Wb" for i in range(4)),
            *(
                f"CNN_high_{i}/{kind}_{part}"
                for i in range(2)
                for kind in "Wb"
                for part in ("carry", "transform")
            ),
            "CNN_proj/W_proj",
            "CNN_proj/b_proj",
            *(
                f"RNN_{direction}/RNN/MultiRNNCell/Cell0/LSTMCell/{name}"
                for direction in range(len(DIRECTIONS))
                for name in ("W_0", "B", "W_P_0")
            ),
        ]
    )
