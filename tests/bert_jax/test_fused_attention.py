# SPDX-License-Identifier: Apache-2.0
"""The attention kernel, run as plain operations, against the written-out form."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from bert_jax import TINY as BERT_TINY
from bert_jax import corpus, init_params
from bert_jax.config import BertConfig
from bert_jax.dropout import row_seeds
from bert_jax.fused_attention import Form, fits, fused_attention
from embed_jax.corpus.stream import stream_vectors
from embed_jax.devices.mesh import data_mesh, shard_rows
from embed_jax.devices.platform import tracing_for
from tests.bert_jax.attention_forms import KEY, make_sequences, written_out
from tests.bert_jax.words import WORDS, make_tokenizer

B, T, RATE = 4, 128, 0.3
CONFIG = BertConfig(
    vocab_size=10,
    layer_dim=256,
    num_heads=4,
    num_blocks=1,
    mlp_dim=8,
    attention_dropout_rate=RATE,
)
ROW_LENGTHS = (T, 100, 1, 0)


def make_operands(width=CONFIG.layer_dim):
    keys = jax.random.split(jax.random.key(0), 4)
    return [0.5 * jax.random.normal(key, (B, T, width)) for key in keys]


def seeds_of(rate):
    """The seeds that the plain form draws from KEY, seen from the outside."""

    class Probe(nn.Module):
        @nn.compact
        def __call__(self):
            return Inner(name="Dropout_0")()

    class Inner(nn.Module):
        @nn.compact
        def __call__(self):
            return row_seeds(self.make_rng("dropout"), B)

    return Probe().apply({}, rngs={"dropout": KEY})


@pytest.mark.parametrize("rate", [0.0, RATE])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("num_heads", [4, 2, 1])
def test_the_kernel_is_the_written_out_form(packed, rate, num_heads):
    config = dataclasses.replace(CONFIG, num_heads=num_heads)
    *operands, change = make_operands()
    sequences = make_sequences(T, ROW_LENGTHS, packed=packed)
    form = Form(config.head_dim, packed, rate, interpret=True)

    def fused(query, key, value):
        return fused_attention(query, key, value, sequences, seeds_of(rate), form)

    plain = written_out(config, sequences, packed=packed, rate=rate)
    ours, back = jax.vjp(fused, *operands)
    theirs, back_theirs = jax.vjp(plain, *operands)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    for our, their in zip(back(change), back_theirs(change), strict=True):
        # Where a row has one key, its gradient is a sum of 128 values, up to 18, whose
        # last place is 2e-6: both forms are 5.7e-6 from the sum in float64.
        np.testing.assert_allclose(our, their, atol=2e-6, rtol=1e-6)
    assert float(jnp.abs(ours).max()) > 0.1


def test_rows_spread_over_devices_give_the_same():
    *operands, change = make_operands()
    sequences = make_sequences(T, ROW_LENGTHS, packed=True)
    seeds = row_seeds(KEY, B)
    form = Form(64, True, RATE, interpret=True)
    mesh = data_mesh(jax.devices()[:4])

    def attend(*operands):
        def fused(query, key, value):
            return fused_attention(query, key, value, *operands[3:5], form)

        value, back = jax.vjp(fused, *operands[:3])
        return value, back(operands[5])

    arguments = (*operands, sequences, seeds, change)
    alone = jax.jit(attend)(*arguments)
    spread = jax.jit(attend)(*shard_rows(arguments, mesh))
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-6),
        spread,
        alone,
    )
    assert spread[0].sharding.spec == PartitionSpec("data")


def test_the_compiler_is_told_what_a_kernel_computes():
    """Two products forward; the way back makes the scores again, and four slopes."""
    *operands, change = make_operands()
    sequences = make_sequences(T, ROW_LENGTHS, packed=False)
    form = Form(64, False, 0.0, interpret=False)

    def run(*operands):
        return fused_attention(*operands, sequences, seeds_of(RATE), form)

    def there_and_back(*operands):
        return jax.vjp(run, *operands)[1](change)

    estimates = [
        equation.params["cost_estimate"]
        for equation in equations_in(jax.make_jaxpr(there_and_back)(*operands).jaxpr)
        if equation.primitive.name == "pallas_call"
    ]
    # Each head compares every two positions, at two operations for each of 64 numbers.
    pairs = B * 4 * T * T
    assert [each.flops for each in estimates] == [
        2 * products * 64 * pairs for products in (2, 5)
    ]
    size = B * T * 256 * 4
    assert [each.bytes_accessed for each in estimates] == [4 * size, 7 * size]
    assert [each.transcendentals for each in estimates] == [pairs, pairs]


def equations_in(jaxpr):
    """Yield the equations of a traced program, those of its calls too."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns") and equation.primitive.name != "pallas_call":
                yield from equations_in(inner)


def test_what_has_no_kernel_is_written_out():
    assert fits(512, 1024, 64)
    assert not fits(640, 768, 64)  # too long
    assert not fits(64, 768, 64)  # not whole lanes
    assert not fits(128, 960, 96)  # heads that do not fill lanes
    assert not fits(128, 192, 64)


def test_a_corpus_on_several_tpu_chips_has_the_kernel(monkeypatch):
    """Lowered for TPU: a kernel in every block, in the part that each chip runs."""
    config = dataclasses.replace(
        BERT_TINY, vocab_size=len(WORDS), layer_dim=256, num_heads=4, max_positions=T
    )
    params = init_params(KEY, config)
    mesh = data_mesh(jax.devices()[:4])
    programs = []

    def lower_only(items, run, assemble, plan, **options):
        def lower(rows, batch):
            with tracing_for("tpu"):
                traced = jax.jit(lambda: run(rows, batch)).trace()
            programs.append(traced.lower(lowering_platforms=("tpu",)).as_text())
            return np.zeros(traced.out_info.shape, np.float32)

        return stream_vectors(items, lower, assemble, plan, **options)

    monkeypatch.setattr("embed_jax.corpus.embedder.stream_vectors", lower_only)
    half = jnp.dtype("bfloat16")
    words = ["the"] * (T - 2)
    corpus.embed_words(
        params, make_tokenizer(T), [words] * 8, pool="mean", dtype=half, mesh=mesh
    )
    [program] = programs
    calls = program.count("stablehlo.custom_call @tpu_custom_call")
    assert calls == config.num_blocks
    assert "manual" in program
