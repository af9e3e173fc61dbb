# SPDX-License-Identifier: Apache-2.0
"""`embed` selects, transforms like any JAX function, and computes nothing in vain.

And a vector depends on its sentence alone: not on its batch, nor on how words are laid
out for the model.
"""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

import elmo_jax
from elmo_jax import TINY, ElmoParams, ElmoTokenizer, ElmoTokens, Vocabulary
from elmo_jax.characters import character_rows
from embed_jax.devices.mesh import data_mesh, replicate, shard_rows
from embed_jax.layers.layer_spec import parse_layer_spec
from embed_jax.layers.scalar_mix import ScalarMix
from tests.compilations import counting_compilations
from tests.elmo_jax.oracle_model import (
    QUICKLY,
    draw_params,
    jit,
    join,
    run_model,
    widen,
)

CHARACTERS = dataclasses.replace(TINY, cell_clip=0.5, projection_clip=0.3)
VOCABULARY = Vocabulary(("<S>", "</S>", "<UNK>", *"abcdefghi"))
TABLE = dataclasses.replace(CHARACTERS, char_cnn=None, vocab_size=len(VOCABULARY))
SMALL = dataclasses.replace(TABLE, num_blocks=1, bidirectional=False)

SENTENCES = [list("abcd"), list("ea"), [], list("bbfgi"), ["h"], list("ihg"), ["a"], []]


def table_tokens(sentences=SENTENCES, length: int = 6) -> ElmoTokens:
    return ElmoTokenizer(TABLE, VOCABULARY).collate(sentences, length)


@pytest.fixture
def params() -> ElmoParams:
    return draw_params(TABLE)


embed = jit(elmo_jax.embed, static_argnames=("layer_spec", "dtype"))


# Selection


def test_specs_select_from_what_encode_returns(params):
    tokens = table_tokens()
    layers = np.asarray(jit(elmo_jax.encode)(params, tokens))
    assert layers.shape == (8, 3, 6, 32)
    np.testing.assert_array_equal(layers[:, 0, :, :16], layers[:, 0, :, 16:])
    layers = layers * tokens.mask[:, None, :, None]
    expected = {
        "last": layers[:, 2],
        "embeddings": layers[:, 0],
        "mean(all)": layers.mean(1),
        "mix(all)": layers.mean(1),
        "concat(blocks)": np.concatenate([layers[:, 1], layers[:, 2]], -1),
        "1,max(0..1)": np.concatenate([layers[:, 1], layers[:, :2].max(1)], -1),
    }
    results = embed(params, tokens, tuple(expected))
    for (spec, vectors), result in zip(expected.items(), results, strict=True):
        np.testing.assert_allclose(result, vectors, atol=1e-6, err_msg=spec)
    alone = embed(params, tokens)
    np.testing.assert_allclose(alone, expected["last"], atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "highest"), [("0", 0), ("mean(0,1)", 1), ("mix(all)", 2)]
)
def test_layers_above_the_highest_asked_for_are_not_in_the_program(
    params, spec, highest
):
    vectors = jax.jit(lambda params, tokens: elmo_jax.embed(params, tokens, spec))
    lowered = vectors.lower(params, table_tokens())
    # A layer has a loop for the batch and one for the boundary, in both directions.
    assert lowered.as_text().count("stablehlo.while") == 4 * highest
    used = lowered.compile(QUICKLY).as_text().split("ENTRY")[1]
    for layer in range(2):
        for side in ("forward", "backward"):
            is_used = f"{side}_{layer}" in used
            assert is_used == (layer < highest), (side, layer)


@pytest.mark.parametrize("highest", [0, 1, 2, None])
def test_apply_bilm_stops_at_the_highest_layer(params, highest):
    """Whoever uses all it returns pays for these layers alone."""
    output = jax.eval_shape(
        functools.partial(elmo_jax.apply_bilm, highest_layer=highest),
        params,
        table_tokens(),
    )
    run = 2 if highest is None else highest
    assert len(output.layers) == len(output.boundaries) == run + 1
    assert [len(side) for side in output.carry] == [run, run]


def test_equal_specs_share_one_compilation():
    params, tokens = draw_params(SMALL), table_tokens()
    elmo_jax.embed(params, tokens, "concat(0, -1)")
    with counting_compilations() as compiled:
        elmo_jax.embed(params, table_tokens(SENTENCES[::-1]), "concat( 0,-1 )")
        elmo_jax.embed(params, tokens, parse_layer_spec("concat(0,-1)"))
    assert compiled == []


# Transformations


def test_jit_and_vmap_of_the_caller_change_nothing():
    params = draw_params(SMALL)
    batches = [table_tokens(), table_tokens(SENTENCES[::-1])]
    batches = [widen(tokens, SMALL, 8, 12) for tokens in batches]
    expected = [embed(params, tokens, "mean(all)") for tokens in batches]
    plain = elmo_jax.embed(params, batches[0], "mean(all)")
    np.testing.assert_allclose(plain, expected[0], atol=1e-6)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    mapped = jit(jax.vmap(lambda t: elmo_jax.embed(params, t, "mean(all)")))(stacked)
    np.testing.assert_allclose(mapped, np.stack(expected), atol=1e-6)
    # An ensemble: several models, one batch.
    members = [params, draw_params(SMALL, seed=1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    over_members = jax.vmap(lambda p: elmo_jax.embed(p, batches[0], "mean(all)"))
    mapped = jit(over_members)(stacked)
    np.testing.assert_allclose(mapped[0], expected[0], atol=1e-6)
    second = embed(members[1], batches[0], "mean(all)")
    np.testing.assert_allclose(mapped[1], second, atol=1e-6)
    assert np.abs(second - expected[0]).max() > 0.01


def test_eight_devices_give_the_same_vectors():
    assert jax.device_count() == 8
    params = draw_params(CHARACTERS)
    tokens = widen(ElmoTokenizer(CHARACTERS)(SENTENCES * 2), CHARACTERS, 16, 16)
    alone = embed(params, tokens, "concat(all)")
    mesh = data_mesh()
    spread = embed(replicate(params, mesh), shard_rows(tokens, mesh), "concat(all)")
    assert spread.sharding.is_equivalent_to(
        NamedSharding(mesh, PartitionSpec("data")), spread.ndim
    )
    np.testing.assert_allclose(spread, alone, atol=1e-6)


def check_gradient(function, tree, step: float, rel: float):
    """Compare the gradient, along a random direction, with the difference quotient."""
    # On the host, where no shape is compiled for.
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, tree))
    rng = np.random.default_rng(0)
    directions = [np.float32(rng.normal(size=leaf.shape)) for leaf in leaves]
    value_and_gradient = jit(jax.value_and_grad(function))

    def at(step: float) -> float:
        moved = [
            leaf + np.float32(step) * direction
            for leaf, direction in zip(leaves, directions, strict=True)
        ]
        return float(value_and_gradient(jax.tree.unflatten(structure, moved))[0])

    gradient = value_and_gradient(tree)[1]
    pairs = zip(jax.tree.leaves(gradient), directions, strict=True)
    along = float(sum(np.vdot(leaf, direction) for leaf, direction in pairs))
    assert along == pytest.approx((at(step) - at(-step)) / (2 * step), rel=rel)
    assert abs(along) > 0.05
    return gradient


def weigh(vectors) -> jax.Array:
    """Make one number of vectors, in which every value has a share of its own."""
    return jnp.vdot(vectors, jnp.sin(jnp.arange(vectors.size, dtype=jnp.float32)))


def test_gradients_reach_every_mix():
    params = draw_params(SMALL)

    def loss(mixes):
        vectors = elmo_jax.embed(params, table_tokens(), "mix(all),mix(1,0)", mix=mixes)
        return weigh(vectors)

    mixes = tuple(
        ScalarMix(jnp.float32(weights), jnp.float32(gamma))
        for weights, gamma in (([0.3, -0.2], 1.5), ([1.0, 0.1], 0.5))
    )
    gradient = check_gradient(loss, mixes, step=1e-2, rel=1e-3)
    for leaf in jax.tree.leaves(gradient):
        assert np.abs(leaf).min() > 1e-3


def test_gradients_reach_every_weight():
    """Without clips, whose corners a difference quotient steps over."""
    free = dataclasses.replace(
        CHARACTERS, num_blocks=1, cell_clip=None, projection_clip=None
    )
    tokens = ElmoTokenizer(free)(SENTENCES[:4])

    def loss(params):
        return weigh(elmo_jax.embed(params, tokens, "mix(all)"))

    gradient = check_gradient(loss, draw_params(free), step=1e-3, rel=1e-2)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 1e-3, path


def test_gradients_reach_the_carry_and_the_start():
    params = draw_params(SMALL)
    carry = elmo_jax.zero_carry(SMALL, 8)

    def on(carry):
        return weigh(elmo_jax.embed(params, table_tokens(), carry=carry)[0])

    def from_start(start):
        return weigh(elmo_jax.embed(params.replace(start=start), table_tokens()))

    for loss, state in ((on, carry), (from_start, elmo_jax.zero_carry(SMALL, 1))):
        ((gradient,),) = jit(jax.grad(loss))(state)
        assert np.abs(gradient.cell).max() > 1e-3
        assert np.abs(gradient.hidden).max() > 1e-3


def test_bfloat16_is_close_and_is_asked_for():
    params = draw_params(CHARACTERS)
    tokens = widen(ElmoTokenizer(CHARACTERS)(SENTENCES * 2), CHARACTERS, 16, 16)
    exact = np.asarray(embed(params, tokens, "concat(all)"))
    rough = embed(params, tokens, "concat(all)", dtype=jnp.bfloat16)
    assert rough.dtype == jnp.float32
    difference = np.abs(np.asarray(rough) - exact)
    for layer in np.split(difference, 3, axis=-1):
        assert 1e-4 < layer.max() < 0.1


def test_several_specs_are_computed_in_the_type_that_is_asked_for():
    params = draw_params(CHARACTERS)
    tokens = widen(ElmoTokenizer(CHARACTERS)(SENTENCES * 2), CHARACTERS, 16, 16)
    specs = ("last", "mean(all)")
    together = embed(params, tokens, specs, dtype=jnp.bfloat16)
    for spec, vectors in zip(specs, together, strict=True):
        alone = embed(params, tokens, spec, dtype=jnp.bfloat16)
        np.testing.assert_allclose(vectors, alone, rtol=0, atol=1e-6)
        exact = np.asarray(embed(params, tokens, spec))
        assert np.abs(np.asarray(vectors) - exact).max() > 1e-4


def test_in_bfloat16_kernels_are_read_in_bfloat16():
    """So that rounding them beforehand changes nothing."""
    params = draw_params(CHARACTERS)
    tokens = widen(ElmoTokenizer(CHARACTERS)(SENTENCES * 2), CHARACTERS, 16, 16)

    def rounded(path, leaf):
        is_read = path[-1].key in ("kernel", "projection")
        return leaf.astype(jnp.bfloat16).astype(leaf.dtype) if is_read else leaf

    before = jax.tree_util.tree_map_with_path(rounded, params)
    for dtype, is_same in ((jnp.bfloat16, True), (jnp.float32, False)):
        one, other = (
            np.asarray(embed(weights, tokens, "concat(all)", dtype=dtype))
            for weights in (params, before)
        )
        assert np.array_equal(one, other) == is_same


# Dropout


def test_dropout_is_before_every_layer_and_after_the_last_and_goes_with_the_skip():
    """Layer 2 is made to give nothing of its own: what is left is its dropped input.

    That is dropped once more, as in training where the softmax reads it.
    """
    rate = 0.4
    config = dataclasses.replace(TABLE, dropout_rate=rate)
    params = draw_params(config)
    for side in ("forward_1", "backward_1"):
        params.encoder[side]["projection"] *= 0
    tokens = table_tokens([list("aaaaabcabc")] * 8, 10)
    exact = run_model(params, tokens).layers
    run = jit(lambda key: elmo_jax.apply_bilm(params, tokens, dropout_key=key).layers)
    first, second = run(jax.random.key(0)), run(jax.random.key(1))
    for index, (one, other, without) in enumerate(
        zip(first, second, exact, strict=True)
    ):
        if index == 0:  # what layer 0 is for others stays whole
            np.testing.assert_allclose(one, without, atol=1e-6)
            continue
        assert np.abs(one - other).max() > 0.01
        assert np.abs(one - without).max() > 0.01
    for layers in (first, second):
        factors = np.asarray(layers[2] / layers[1])
        kept = np.abs(factors - 1 / (1 - rate) ** 2) < 1e-5
        assert (kept | (factors == 0)).all()
        assert kept.mean() == pytest.approx((1 - rate) ** 2, abs=0.03)
        # Each position and each direction draws anew.
        patterns = {
            kept[b, t, half].tobytes()
            for b in range(8)
            for t in range(10)
            for half in (slice(16), slice(16, 32))
        }
        # Of so few that are kept, two may be alike by chance.
        assert len(patterns) > 150
    np.testing.assert_array_equal(exact[2], exact[1])
    again = run(jax.random.key(0))
    np.testing.assert_array_equal(again[2], first[2])
    # Layer 1 alone is not the last one.
    lower = elmo_jax.apply_bilm(
        params, tokens, dropout_key=jax.random.key(0), highest_layer=1
    )
    assert (np.asarray(lower.layers[1]) != 0).all()


def test_dropout_does_not_touch_the_recurrence():
    """A layer whose input counts for nothing is the same with it as without.

    It is the last one, so what it gives is dropped once it is computed.
    """
    config = dataclasses.replace(SMALL, dropout_rate=0.5)
    params = draw_params(config)
    kernel = params.encoder["forward_0"]["kernel"]
    rows = jnp.arange(len(kernel))[:, None] < config.projection_dim
    params.encoder["forward_0"]["kernel"] = jnp.where(rows, 0, kernel)
    tokens = table_tokens()
    exact = run_model(params, tokens).layers[1]
    dropped = run_model(params, tokens, dropout_key=jax.random.key(0)).layers[1]
    kept = np.asarray(dropped) != 0
    assert 0.3 < kept.mean() < 0.7
    np.testing.assert_allclose(dropped, np.where(kept, 2 * exact, 0), atol=1e-6)
    changes = np.abs(exact[:, 1:] - exact[:, :-1]).max()
    assert changes > 0.01


# What a vector depends on

WORDS = ["", "a", "bank", "é", "€" * 17, "x" * 47, "y" * 48, "z" * 60, "<S>", "</S>"]


def character_vectors(sentences, num_rows: int, length: int) -> np.ndarray:
    """Compute all layers, in one of a few shapes: [B, T, (L+1)*D]."""
    tokens = ElmoTokenizer(CHARACTERS).collate(sentences, length)
    tokens = widen(tokens, CHARACTERS, num_rows, 12)
    layers = run_model(draw_params(CHARACTERS), tokens).layers
    return np.concatenate(layers, axis=-1)


@functools.cache
def vectors_alone(words: tuple[str, ...]) -> np.ndarray:
    return character_vectors([list(words)], 1, 5)[0, : len(words)]


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=5), max_size=4))
def test_a_vector_depends_on_its_sentence_alone(sentences):
    """Not on batch mates, nor the order of rows, nor the padding; nor on the way taken.

    A batch has more positions than types, one sentence fewer: the first layer reads
    types in the one and positions in the other.
    """
    for order in (sentences, sentences[::-1]):
        vectors = character_vectors(order, 4, 7)
        for row, sentence in zip(vectors, order, strict=False):
            alone = vectors_alone(tuple(sentence))
            assert np.abs(row[: len(sentence)] - alone).max(initial=0) <= 1e-6


def spell_out(sentences: list[list[str]], length: int) -> ElmoTokens:
    """Make tokens the plain way: every occurrence on its own, all 50 characters."""
    words = ["<S>", "</S>", *(word for sentence in sentences for word in sentence)]
    rows = np.zeros((len(sentences), length), np.int32)
    place = 2
    for row, sentence in zip(rows, sentences, strict=True):
        row[: len(sentence)] = place + np.arange(len(sentence))
        place += len(sentence)
    short = ElmoTokenizer(CHARACTERS).collate(sentences, length)
    return short._replace(types=character_rows(words), words=rows)


def test_shortening_and_each_word_once_change_nothing():
    params = draw_params(CHARACTERS)
    sentences = [["a", "bank", "a", "é", ""], ["bank", "€€€", "<S>", "a"], []]
    short = ElmoTokenizer(CHARACTERS).collate(sentences, 5)
    plain = spell_out(sentences, 5)
    assert short.types.shape == (7, 9 + 2 + 3)
    assert plain.types.shape == (11, 50)
    for ours, theirs in zip(
        run_model(params, short).layers, run_model(params, plain).layers, strict=True
    ):
        ours, theirs = ours[short.mask], theirs[short.mask]
        assert np.abs(ours - theirs).max() <= 1e-6
        assert np.abs(ours).max() > 0.05


@pytest.mark.parametrize("place", [0, 2, 4])
def test_each_direction_sees_its_own_side_alone(params, place):
    words = list("abcde")
    changed = [*words[:place], "i", *words[place + 1 :]]
    batch = table_tokens([words, changed])
    P = TABLE.projection_dim
    for layer in run_model(params, widen(batch, TABLE, 2, 12)).layers[1:]:
        moved = np.abs(np.asarray(layer[0] - layer[1]))[:5]
        forward, backward = moved[:, :P].max(axis=1), moved[:, P:].max(axis=1)
        assert (forward[:place] == 0).all()
        assert (forward[place:] > 1e-6).all()
        assert (backward[place + 1 :] == 0).all()
        assert (backward[: place + 1] > 1e-6).all()


def test_what_stands_at_padding_changes_no_vector_and_no_gradient(params):
    tokens = table_tokens()
    other = tokens._replace(
        words=np.where(tokens.mask, tokens.words, 3).astype(np.int32)
    )

    @jit
    def run(tokens):
        def loss(params):
            vectors = elmo_jax.embed(params, tokens, "mix(all)")
            return weigh(vectors), vectors

        return jax.grad(loss, has_aux=True)(params)

    (gradient, vectors), (gradient_other, vectors_other) = run(tokens), run(other)
    np.testing.assert_allclose(vectors, vectors_other, atol=1e-6)
    assert not np.asarray(vectors)[~tokens.mask].any()
    assert np.asarray(vectors)[tokens.mask].all(axis=-1).all()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        gradient,
        gradient_other,
    )


def test_nan_at_padding_reaches_nothing():
    """Padding on the right, and between the sentences of one row."""
    params = draw_params(TABLE)
    table = params.encoder["words"]["embedding"]
    params.encoder["words"]["embedding"] = table.at[VOCABULARY.ids["i"]].set(jnp.nan)
    sentences = [list("abc"), list("de")]
    packed = join(
        ElmoTokenizer(TABLE, VOCABULARY), [[list("abc"), ["i", "i"], list("de")]], 9
    )
    real = np.zeros((1, 9), bool)
    real[0, [0, 1, 2, 5, 6]] = True
    hole = list(packed.types).index(VOCABULARY.ids["i"])
    tokens = packed._replace(
        words=np.where(real, packed.words, hole).astype(np.int32),
        mask=real,
        starts=packed.starts & real,
        ends=packed.ends & real,
    )
    vectors = np.asarray(embed(params, widen(tokens, TABLE, 8, 12), "concat(all)"))
    assert np.isfinite(vectors).all()
    apart = widen(table_tokens(sentences, 9), TABLE, 8, 12)
    apart = np.asarray(embed(params, apart, "concat(all)"))
    np.testing.assert_allclose(vectors[0, :3], apart[0, :3], atol=1e-6)
    np.testing.assert_allclose(vectors[0, 5:7], apart[1, :2], atol=1e-6)


def test_no_sentences_and_empty_ones_are_embedded():
    params = draw_params(SMALL)
    tokenizer = ElmoTokenizer(SMALL, VOCABULARY)
    assert elmo_jax.embed(params, tokenizer([])).shape == (0, 0, 16)
    vectors = elmo_jax.embed(params, tokenizer([[], []]))
    np.testing.assert_array_equal(vectors, np.zeros((2, 1, 16)))


# What is refused


def character_tokens() -> ElmoTokens:
    return ElmoTokenizer(CHARACTERS)([["a", "bank"]])


@pytest.mark.parametrize(
    ("config", "tokens", "message"),
    [
        (
            TABLE,
            character_tokens,
            "types of shape [4, 9], but the model reads words by",
        ),
        (TABLE, character_tokens, "their row in its table; use the tokeniser that"),
        (CHARACTERS, table_tokens, "types of shape [11], but the model reads words by"),
        (
            CHARACTERS,
            lambda: character_tokens()._replace(types=character_tokens().types[:, :2]),
            "2 characters a word are less than the widest filter, 3; use the tokeniser",
        ),
        (
            CHARACTERS,
            lambda: character_tokens()._replace(types=character_tokens().types + 1),
            "types reach from 99 to 262, but the model knows 0 to 261; do model and",
        ),
        (
            TABLE,
            lambda: table_tokens()._replace(types=table_tokens().types + 1),
            "types reach from 1 to 12, but the model knows 0 to 11",
        ),
        (
            TABLE,
            lambda: table_tokens()._replace(types=table_tokens().types - 1),
            "types reach from -1 to 10, but the model knows 0 to 11",
        ),
        (
            TABLE,
            lambda: table_tokens()._replace(words=table_tokens().words + 1),
            "words reach from 1 to 11, but the model knows 0 to 10",
        ),
    ],
)
def test_tokens_of_another_model_are_refused(config, tokens, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        elmo_jax.embed(draw_params(config), tokens())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_spec": "3"}, "layers 0..2"),
        ({"layer_spec": "lest"}, 'no layer name "lest"'),
        ({"layer_spec": ("0", "1"), "mix": (None,)}, "2 specs need a tuple of 2 mixes"),
        (
            {"layer_spec": ("0", "1"), "mix": ScalarMix.init(2)},
            "2 specs need a tuple of 2 mixes",
        ),
        (
            {"carry": elmo_jax.zero_carry(TABLE, 7)},
            "the carry is not that of 8 rows of this model; begin with "
            "zero_carry(params.config, 8), and keep the number of rows",
        ),
        ({"carry": elmo_jax.zero_carry(SMALL, 8)}, "the carry is not that of 8 rows"),
    ],
)
def test_what_embed_cannot_do_is_refused(params, options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        elmo_jax.embed(params, table_tokens(), **options)
    assert "\n" not in str(caught.value)
