# SPDX-License-Identifier: Apache-2.0
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embed_jax.layers.layer_spec import FUNCTIONS, parse_layer_spec
from embed_jax.layers.scalar_mix import ScalarMix, normalise_layer
from embed_jax.layers.select import select_layers

NUM_BLOCKS = 5
MASK = jnp.array([[True, True, True], [True, True, False]])
STACK = (
    np.random.default_rng(0).normal(size=(NUM_BLOCKS + 1, 2, 3, 4)).astype(np.float32)
)
STACK = np.where(np.asarray(MASK)[..., None], STACK, 0)  # what padding comes out as
LAYERS = {index: jnp.asarray(layer) for index, layer in enumerate(STACK)}

SELECTIONS = st.one_of(
    st.integers(-NUM_BLOCKS - 1, NUM_BLOCKS).map(str),
    st.tuples(st.integers(0, 2), st.integers(-4, -1)).map(lambda e: f"{e[0]}..{e[1]}"),
    st.sampled_from(["first", "last", "last4", "blocks", "all"]),
)
CALLS = st.tuples(
    st.sampled_from(FUNCTIONS), st.lists(SELECTIONS, min_size=1, max_size=3)
).map(lambda call: f"{call[0]}({','.join(call[1])})")
SPECS = st.lists(st.one_of(SELECTIONS, CALLS), min_size=1, max_size=3).map(",".join)


def select(text, layers=LAYERS, **options):
    return select_layers(layers, parse_layer_spec(text), NUM_BLOCKS, MASK, **options)


@given(SPECS)
def test_width_is_known_without_running(text):
    spec = parse_layer_spec(text)
    assert select(text).shape == (2, 3, spec.width(NUM_BLOCKS, 4))


@given(SPECS)
def test_only_the_needed_layers_are_read(text):
    needed = parse_layer_spec(text).layers(NUM_BLOCKS)
    few = {layer: LAYERS[layer] for layer in needed}
    np.testing.assert_array_equal(select(text, few), select(text))


@given(st.integers(0, NUM_BLOCKS))
def test_index_negative_index_range_and_one_hot_mix_agree(layer):
    from_the_end = layer - NUM_BLOCKS - 1
    one_hot = ScalarMix(jnp.where(jnp.arange(6) == layer, 200.0, 0.0), jnp.ones(()))
    for vectors in (
        select(f"{layer}"),
        select(f"{from_the_end}"),
        select(f"{layer}..{from_the_end}"),
        select("all")[..., 4 * layer : 4 * layer + 4],
        select("mix(all)", mix=one_hot),
        select(f"max({layer},{layer})"),
        select(f"mean({layer})"),
    ):
        np.testing.assert_array_equal(vectors, STACK[layer])


@given(SPECS)
def test_agrees_with_numpy(text):
    parts = []
    for function, indices in parse_layer_spec(text).resolve(NUM_BLOCKS):
        chosen = STACK[list(indices)].astype(np.float64)
        match function:
            case "concat":
                parts.extend(chosen)
            case "sum":
                parts.append(chosen.sum(0))
            case "mean" | "mix":
                parts.append(chosen.mean(0))
            case "max":
                parts.append(chosen.max(0))
            case "mix_norm":
                real = chosen[:, np.asarray(MASK)].reshape(len(indices), -1)
                mean = real.mean(1)[:, None, None, None]
                variance = real.var(1)[:, None, None, None]
                normal = (chosen - mean) / np.sqrt(variance + 1e-12)
                parts.append(np.where(MASK[..., None], normal, 0).mean(0))
    expected = np.concatenate(parts, axis=-1)
    np.testing.assert_allclose(select(text), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=20)  # each spec compiles anew
@given(
    SPECS, st.sampled_from([-1e30, np.inf, np.nan]), st.sampled_from(["batch", "row"])
)
def test_padding_content_changes_neither_vectors_nor_gradients(
    text, padding, norm_over
):
    spec = parse_layer_spec(text)
    mixes = [ScalarMix.init(size) for size in spec.mix_sizes(NUM_BLOCKS)]
    spoilt = {i: jnp.where(MASK[..., None], x, padding) for i, x in LAYERS.items()}

    def loss(mixes, layers):
        vectors = select_layers(layers, spec, NUM_BLOCKS, MASK, mixes, norm_over)
        return jnp.sum(vectors**2), vectors

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    clean_result, spoilt_result = run(mixes, LAYERS), run(mixes, spoilt)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(spoilt_result))
    jax.tree.map(np.testing.assert_array_equal, spoilt_result, clean_result)


def test_mixes_belong_to_mix_terms_in_order():
    first = ScalarMix(jnp.array([200.0, 0.0]), jnp.array(2.0))
    second = ScalarMix(jnp.array([0.0, 200.0]), jnp.array(3.0))
    vectors = select("mix(0,1),last,mix_norm(2,3)", mix=(first, second))
    normalised = normalise_layer(LAYERS[3], MASK)
    expected = [2 * STACK[0], STACK[NUM_BLOCKS], 3 * normalised]
    np.testing.assert_allclose(vectors, np.concatenate(expected, -1), rtol=1e-6)


def test_norm_over_rows_does_not_depend_on_batch_mates():
    spec = parse_layer_spec("mix_norm(all)")
    alone = {index: layer[:1] for index, layer in LAYERS.items()}
    alone = select_layers(alone, spec, NUM_BLOCKS, MASK[:1], norm_over="row")
    together = select("mix_norm(all)", norm_over="row")
    np.testing.assert_allclose(together[:1], alone, rtol=1e-6, atol=1e-6)
    assert np.abs(select("mix_norm(all)")[:1] - alone).max() > 1e-3


def test_dtype_is_the_layers_own_unless_something_is_computed():
    layers = {index: layer.astype(jnp.bfloat16) for index, layer in LAYERS.items()}
    for text in ("last", "concat(last4)", "max(all)"):
        assert select(text, layers).dtype == jnp.bfloat16
    for text in ("sum(all)", "mean(all)", "mix(all)", "mix_norm(all)", "0,mean(all)"):
        assert select(text, layers).dtype == jnp.float32


def test_one_trace_for_equal_specs():
    num_traces = 0

    @partial(jax.jit, static_argnums=1)
    def jitted(layers, spec, mix):
        nonlocal num_traces
        num_traces += 1
        return select_layers(layers, spec, NUM_BLOCKS, MASK, mix)

    for text in ("mix(all)", "mix( 0..-1 )"):
        mixed = jitted(LAYERS, parse_layer_spec(text), ScalarMix.init(6))
        np.testing.assert_allclose(mixed, STACK.mean(0), rtol=1e-5, atol=1e-6)
    assert num_traces == 1


@pytest.mark.parametrize(
    ("text", "mix", "message"),
    [
        ("last", ScalarMix.init(1), '"last" has 0 mix terms and needs as many'),
        (
            "mix(first,2),mix(2,3)",
            ScalarMix.init(2),
            '"mix(first,2),mix(2,3)" has 2 mix terms and needs as many ScalarMix',
        ),
        (
            "mix(all)",
            (),
            '"mix(all)" has 1 mix terms and needs as many ScalarMix, but 0',
        ),
        (
            "mix(0),mix(all)",
            (ScalarMix.init(1), ScalarMix.init(5)),
            'mix term 2 of layer_spec "mix(embeddings),mix(all)" needs weights of '
            "shape (6,) and gamma of shape (), not (5,) and ()",
        ),
        (
            "mix(first)",
            ScalarMix(jnp.zeros(1), jnp.ones(1)),
            "needs weights of shape (1,) and gamma of shape (), not (1,) and (1,)",
        ),
    ],
)
def test_wrong_mixes(text, mix, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011, compared below
        select(text, mix=mix)
    assert message in str(caught.value)


def test_absent_layers():
    with pytest.raises(
        ValueError, match=r"needs layers \[0, 5\], but \[5\] are not among"
    ):
        select("0,last", {0: LAYERS[0], 1: LAYERS[1]})


def test_layers_that_the_model_lacks():
    with pytest.raises(ValueError, match=r"character 5: \"6\" needs layer 6.* 0\.\.5,"):
        select("sum(6)")
