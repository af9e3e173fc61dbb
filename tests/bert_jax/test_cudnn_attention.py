# SPDX-License-Identifier: Apache-2.0
"""Attention by cuDNN: the sums of the written-out form, and where it is used."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

# Nothing public makes jax lower for a cuDNN that is not there.
from jax._src.cudnn import fused_attention_stablehlo  # noqa: TID251

from bert_jax import cudnn_attention as cudnn
from bert_jax.attention import SelfAttention, attention_mask
from bert_jax.config import BertConfig
from embed_jax.devices.platform import tracing_for
from tests.bert_jax.attention_forms import make_sequences, written_out

B, T = 4, 48
CONFIG = BertConfig(vocab_size=10, layer_dim=128, num_heads=4, num_blocks=1, mlp_dim=8)
HALF = jnp.dtype("bfloat16")


def make_operands():
    keys = jax.random.split(jax.random.key(0), 4)
    return [jax.random.normal(key, (B, T, CONFIG.layer_dim)) for key in keys]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("implementation", "dtype", "tolerance"),
    [
        ("xla", "float32", 3e-6),
        pytest.param("cudnn", "bfloat16", 2e-2, marks=pytest.mark.gpu),
    ],
)
def test_it_is_the_written_out_form(packed, implementation, dtype, tolerance):
    if implementation == "cudnn" and not cudnn.is_there():
        pytest.skip("no NVIDIA GPU")
    sequences = make_sequences(T, (T, 30, 1, 40), packed=packed)
    seen = attention_mask(sequences > 0, sequences if packed else None)
    # No gradient comes from what padding gives.
    *operands, change = (x.astype(dtype) for x in make_operands())
    change = change * (sequences > 0)[..., None].astype(dtype)

    def fused(query, key, value):
        sees = seen.bias == 0
        return cudnn.cudnn_attention(
            query, key, value, sees, CONFIG.head_dim, implementation
        )

    def plain(*operands):
        attend = written_out(CONFIG, sequences, packed=packed)
        return attend(*map(jnp.float32, operands))

    ours, back = jax.vjp(fused, *operands)
    theirs, back_theirs = jax.vjp(plain, *operands)
    real = np.asarray(sequences > 0)
    np.testing.assert_allclose(
        np.float32(ours)[real], theirs[real], atol=tolerance, rtol=tolerance
    )
    assert np.isfinite(np.float32(ours)).all()
    gradients = zip(back(change), back_theirs(jnp.float32(change)), strict=True)
    for our, their in gradients:
        np.testing.assert_allclose(
            np.float32(our), np.float32(their), atol=tolerance, rtol=tolerance
        )


def lowered_for_a_gpu(monkeypatch, *, dtype=HALF, length=T, rate=0.1, training=False):
    """The program of one attention for CUDA, as if cuDNN were here."""
    monkeypatch.setattr(cudnn, "is_there", lambda: True)
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)
    config = dataclasses.replace(CONFIG, attention_dropout_rate=rate)
    module = SelfAttention(config, dtype)
    states = jnp.zeros((B, length, CONFIG.layer_dim), dtype)
    seen = attention_mask(jnp.ones((B, length), bool), None)
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}

    def loss(params, states):
        result = module.apply(params, states, seen, not training, rngs=rngs)
        return jnp.float32(result).sum()

    params = module.init(rngs, states, seen)
    function = jax.grad(loss) if training else loss
    with tracing_for("gpu"):
        traced = jax.jit(function).trace(params, states)
        return traced.lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("length", [8, 16, 24, 32, 64, 100, 128, 256, 384, 512])
def test_embedding_in_half_precision_calls_cudnn(monkeypatch, length):
    assert "__cudnn$fmha" in lowered_for_a_gpu(monkeypatch, length=length)


def test_training_calls_it_where_there_is_no_dropout(monkeypatch):
    program = lowered_for_a_gpu(monkeypatch, rate=0.0, training=True)
    assert "__cudnn$fmha" in program
    assert "Backward" in program


@pytest.mark.parametrize(
    "case",
    [{"dtype": jnp.dtype("float32")}, {"training": True}, {"length": 33}],
    ids=["float32", "dropout", "odd"],
)
def test_elsewhere_attention_is_written_out(monkeypatch, case):
    assert "cudnn" not in lowered_for_a_gpu(monkeypatch, **case)
