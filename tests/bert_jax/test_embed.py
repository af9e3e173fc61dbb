# SPDX-License-Identifier: Apache-2.0
"""`embed` selects, transforms like any JAX function, and computes nothing in vain."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import bert_jax
from bert_jax.attention import SelfAttention
from embed_jax.devices.mesh import data_mesh, replicate, shard_rows
from embed_jax.layers.layer_spec import parse_layer_spec
from embed_jax.layers.scalar_mix import ScalarMix
from tests.compilations import counting_compilations

pytestmark = pytest.mark.optimised

CONFIG = dataclasses.replace(bert_jax.TINY, num_blocks=4, init_std=0.1)


@pytest.fixture(scope="module")
def params():
    return bert_jax.init_params(jax.random.key(0), CONFIG)


def make_tokens(rows: int = 8, length: int = 16, seed: int = 0) -> bert_jax.BertTokens:
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, CONFIG.vocab_size, (rows, length)).astype(np.int32)
    mask = np.arange(length)[None] < rng.integers(1, length + 1, rows)[:, None]
    word_ids = np.where(mask, np.arange(length, dtype=np.int32)[None], -1)
    return bert_jax.BertTokens(ids, 0 * ids, mask, word_ids.astype(np.int32), mask)


def test_a_spec_selects_from_what_encode_returns(params):
    tokens = make_tokens()
    layers = np.asarray(bert_jax.encode(params, tokens)) * tokens.mask[:, None, :, None]
    for spec, expected in {
        "last": layers[:, 4],
        "embeddings": layers[:, 0],
        "second_to_last": layers[:, 3],
        "concat(last4)": np.concatenate(list(layers[:, 1:].swapaxes(0, 1)), -1),
        "mean(all)": layers.mean(1),
        "mix(blocks)": layers[:, 1:].mean(1),
        "2,max(0..1)": np.concatenate([layers[:, 2], layers[:, :2].max(1)], -1),
    }.items():
        vectors = bert_jax.embed(params, tokens, spec)
        np.testing.assert_allclose(vectors, expected, atol=1e-6, err_msg=spec)


def test_several_specs_come_from_one_run(params):
    tokens = make_tokens()
    last, mean = bert_jax.embed(params, tokens, ("last", "mean(all)"))
    np.testing.assert_allclose(last, bert_jax.embed(params, tokens, "last"), atol=1e-6)
    np.testing.assert_allclose(
        mean, bert_jax.embed(params, tokens, "mean(all)"), atol=1e-6
    )


def test_jit_of_the_caller_changes_nothing(params):
    tokens = make_tokens()
    jitted = jax.jit(lambda p, t: bert_jax.embed(p, t, "mean(all)"))
    np.testing.assert_allclose(
        jitted(params, tokens), bert_jax.embed(params, tokens, "mean(all)"), atol=1e-6
    )


def test_vmap_equals_one_batch_after_the_other(params):
    batches = [make_tokens(seed=seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
    mapped = jax.vmap(lambda t: bert_jax.embed(params, t, "concat(last4)"))(stacked)
    for index, tokens in enumerate(batches):
        np.testing.assert_allclose(
            mapped[index], bert_jax.embed(params, tokens, "concat(last4)"), atol=1e-5
        )


def test_vmap_over_params_serves_an_ensemble():
    keys = jax.random.split(jax.random.key(0), 2)
    members = [bert_jax.init_params(key, CONFIG) for key in keys]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    tokens = make_tokens()
    mapped = jax.vmap(lambda p: bert_jax.embed(p, tokens, "last"))(stacked)
    for index, member in enumerate(members):
        np.testing.assert_allclose(
            mapped[index], bert_jax.embed(member, tokens, "last"), atol=1e-5
        )


def directional_derivative(function, tree, key) -> tuple[float, float]:
    """Return the gradient along a random direction, and the difference quotient."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    directions = [
        jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)
    ]
    gradient = jax.tree.leaves(jax.grad(function)(tree))
    along = sum(jnp.vdot(g, d) for g, d in zip(gradient, directions, strict=True))

    def at(step: float) -> float:
        moved = [x + step * d for x, d in zip(leaves, directions, strict=True)]
        return float(function(jax.tree.unflatten(structure, moved)))

    return float(along), (at(1e-3) - at(-1e-3)) / 2e-3


def test_gradients_reach_mix_and_params(params):
    tokens = make_tokens()
    weights = jnp.sin(jnp.arange(CONFIG.layer_dim, dtype=jnp.float32))[None, None]

    def loss(params, mix):
        vectors = bert_jax.embed(params, tokens, "mix(all)", mix=mix)
        return (vectors * weights).sum() / vectors.shape[0]

    mix = ScalarMix.init(5)
    for function, tree in (
        (lambda mix: loss(params, mix), mix),
        (lambda p: loss(p, mix), params),
    ):
        along, quotient = directional_derivative(function, tree, jax.random.key(1))
        assert along == pytest.approx(quotient, rel=2e-2)
    gradient = jax.grad(loss)(params, mix)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(gradient.heads))
    assert all(np.asarray(x).any() for x in jax.tree.leaves(gradient.encoder))


def test_gradients_never_come_from_padding(params):
    tokens = make_tokens()
    jitted = jax.jit(
        jax.grad(lambda p, t: bert_jax.embed(p, t, "last").astype(jnp.float32).sum())
    )
    gradient = jitted(params, tokens)
    other = tokens._replace(ids=np.where(tokens.mask, tokens.ids, 1).astype(np.int32))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
        gradient,
        jitted(params, other),
    )


def test_eight_devices_give_the_same_vectors(params):
    assert jax.device_count() == 8
    tokens = make_tokens(rows=16)
    alone = bert_jax.embed(params, tokens, "concat(last4)")
    mesh = data_mesh()
    spread = bert_jax.embed(
        replicate(params, mesh), shard_rows(tokens, mesh), "concat(last4)"
    )
    assert spread.sharding.is_equivalent_to(
        NamedSharding(mesh, PartitionSpec("data")), spread.ndim
    )
    np.testing.assert_allclose(spread, alone, atol=1e-5)


@pytest.mark.parametrize(("spec", "highest"), [("0", 0), ("1", 1), ("mean(0..2)", 2)])
def test_layers_above_the_highest_selected_are_not_in_the_program(
    params, spec, highest
):
    vectors = jax.jit(lambda params, tokens: bert_jax.embed(params, tokens, spec))
    lowered = vectors.lower(params, make_tokens())
    compiled = lowered.compile().as_text()
    # Eight products a block: four projections, two of attention, two feed-forward.
    assert lowered.as_text().count("dot_general") == 8 * highest
    for block in range(CONFIG.num_blocks):
        used = f"layer_{block}" in compiled.split("ENTRY")[1]
        assert used == (block < highest), block


def test_equal_specs_share_one_compilation(params):
    tokens = make_tokens()
    bert_jax.embed(params, tokens, "concat(-1, 2)")
    with counting_compilations() as compiled:
        bert_jax.embed(params, make_tokens(seed=1), "concat( -1,2 )")
        bert_jax.embed(params, tokens, parse_layer_spec("concat(-1,2)"))
    assert compiled == []


def test_bfloat16_is_close_and_is_asked_for(params):
    tokens = make_tokens()
    exact = np.asarray(bert_jax.embed(params, tokens, "last"))
    rough = bert_jax.embed(params, tokens, "last", dtype=jnp.bfloat16)
    assert rough.dtype == jnp.bfloat16
    difference = np.abs(np.asarray(rough, np.float32) - exact)
    assert 1e-4 < difference.max() < 0.2


def test_several_specs_are_computed_in_the_type_that_is_asked_for(params):
    tokens, specs = make_tokens(), ("last", "mean(all)")
    together = bert_jax.embed(params, tokens, specs, dtype=jnp.bfloat16)
    for spec, vectors in zip(specs, together, strict=True):
        alone = bert_jax.embed(params, tokens, spec, dtype=jnp.bfloat16)
        assert vectors.dtype == alone.dtype
        np.testing.assert_array_equal(vectors, alone)
        exact = bert_jax.embed(params, tokens, spec)
        assert not np.array_equal(vectors.astype(jnp.float32), exact)


def test_in_bfloat16_kernels_are_read_in_bfloat16(params):
    """So that rounding them beforehand changes nothing."""
    tokens = make_tokens()

    def rounded(path, leaf):
        is_read = path[-1].key == "kernel"
        return leaf.astype(jnp.bfloat16).astype(leaf.dtype) if is_read else leaf

    before = jax.tree_util.tree_map_with_path(rounded, params)
    for dtype, is_same in ((jnp.bfloat16, True), (jnp.float32, False)):
        one, other = (
            np.asarray(bert_jax.embed(weights, tokens, "last", dtype=dtype))
            for weights in (params, before)
        )
        assert np.array_equal(one, other) == is_same


def test_positions_may_be_given(params):
    tokens = make_tokens(rows=2, length=6)
    by_default = bert_jax.apply_encoder(params, tokens)
    counted = np.tile(np.arange(6, dtype=np.int32), (2, 1))
    given = bert_jax.apply_encoder(params, tokens, positions=counted)
    for a, b in zip(by_default, given, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    # Told of their places, shuffled tokens are the same set of tokens.
    order = np.array([3, 0, 5, 1, 4, 2])
    shuffled = tokens._replace(ids=tokens.ids[:, order], mask=tokens.mask[:, order])
    moved = bert_jax.apply_encoder(params, shuffled, positions=counted[:, order])
    mask = shuffled.mask
    np.testing.assert_allclose(
        moved[-1][mask], by_default[-1][:, order][mask], atol=1e-5
    )


def test_dropout_acts_only_with_a_key_and_averages_out(params):
    tokens = make_tokens()
    exact = bert_jax.apply_encoder(params, tokens, highest_layer=1)[1]
    runs = [
        bert_jax.apply_encoder(
            params, tokens, highest_layer=0, dropout_key=jax.random.key(seed)
        )[0]
        for seed in range(400)
    ]
    embeddings = bert_jax.apply_encoder(params, tokens, highest_layer=0)[0]
    mean = jnp.stack(runs).mean(0)
    assert float(jnp.abs(runs[0] - runs[1]).max()) > 0.1
    assert float(jnp.abs(mean - embeddings)[tokens.mask].mean()) < 0.03
    dropped = jnp.stack(runs) == 0
    assert float(dropped[:, tokens.mask].mean()) == pytest.approx(0.1, abs=0.005)
    again = bert_jax.apply_encoder(params, tokens, highest_layer=1)[1]
    np.testing.assert_array_equal(exact, again)


def test_attention_dropout_has_a_coin_for_every_head_and_query(params):
    config = dataclasses.replace(CONFIG, attention_dropout_rate=0.5)
    shape = (3, config.num_heads, 4, config.head_dim)
    query = key = jnp.zeros(shape)
    value = jnp.broadcast_to(jnp.eye(4, config.head_dim)[None, None], shape)

    class Probe(SelfAttention):
        @nn.compact
        def __call__(self):
            bias = jnp.zeros((3, 1, 1, 4))
            return self.attend(query, key, value, bias, deterministic=False)

    probe = Probe(config, jnp.dtype("float32"))
    out = probe.apply({}, rngs={"dropout": jax.random.key(0)})
    # One-hot values show which probabilities, of a quarter each, were kept (doubled).
    kept = np.asarray(out)[..., :4]
    np.testing.assert_allclose(np.unique(kept), [0, 0.5])
    patterns = {kept[b, n].tobytes() for b in range(3) for n in range(config.num_heads)}
    assert len(patterns) == 3 * config.num_heads


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (lambda t: t._replace(ids=t.ids + CONFIG.vocab_size), "ids reach"),
        (lambda t: t._replace(ids=t.ids * 0 + CONFIG.vocab_size), "ids reach"),
        (lambda t: t._replace(ids=t.ids * 0 - 1), "ids reach from -1"),
        (lambda t: t._replace(ids=t.ids - 5000), "ids reach from -"),
        (lambda t: t._replace(segment_ids=t.segment_ids * 0 + 2), "segment_ids reach"),
        (lambda t: t._replace(segment_ids=t.segment_ids + 2), "segment_ids reach"),
        (lambda _: make_tokens(length=65), "65 tokens a row, but the model has 64"),
    ],
)
def test_tokens_that_no_table_holds_are_refused(params, tokens, message):
    with pytest.raises(ValueError, match=message):
        bert_jax.embed(params, tokens(make_tokens()), "last")


def test_the_last_piece_position_and_segment_are_read(params):
    tokens = make_tokens(length=64)
    last = CONFIG.vocab_size - 1
    tokens = tokens._replace(
        ids=tokens.ids * 0 + last, segment_ids=tokens.segment_ids * 0 + 1
    )
    assert bert_jax.embed(params, tokens, "0").shape[1] == 64


def test_wrong_specs_are_refused_before_anything_runs(params):
    with pytest.raises(ValueError, match=r"layers 0\.\.4"):
        bert_jax.embed(params, make_tokens(), "5")
    with pytest.raises(ValueError, match="2 specs need a tuple of 2 mixes"):
        bert_jax.embed(params, make_tokens(), ("0", "1"), mix=(None,))


def test_a_head_that_is_not_there_is_named(params):
    bare = bert_jax.init_params(jax.random.key(0), CONFIG, heads=())
    with pytest.raises(ValueError, match="no 'mlm' head"):
        bert_jax.masked_lm_logits(bare, make_tokens())
