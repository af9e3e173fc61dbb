# SPDX-License-Identifier: Apache-2.0
"""The table of published names is whole, and fresh weights are drawn as published."""

import dataclasses
import math
from functools import partial

import jax
import numpy as np
import pytest

from bert_jax import TINY, BertConfig, BertParams, init_params
from bert_jax.heads import HEADS
from bert_jax.weights import assemble, disassemble, published_tensors

BASE = BertConfig()
LARGE = BertConfig(num_blocks=24, num_heads=16, layer_dim=1024, mlp_dim=4096)
ALL_HEADS = tuple(HEADS)
LABELLED = dataclasses.replace(TINY, labels=("a", "b", "c"))


def count(config: BertConfig, heads: tuple[str, ...]) -> int:
    """Count the parameters of a model that is never drawn."""
    draw = partial(init_params, config=config, heads=heads)
    shapes = jax.eval_shape(draw, jax.random.key(0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def count_by_hand(config: BertConfig) -> tuple[int, int]:
    """Count encoder and pooler, and what both pretraining heads add; by arithmetic."""
    D, F, V = config.layer_dim, config.mlp_dim, config.vocab_size
    square, norm = D * D + D, 2 * D
    embeddings = (V + config.max_positions + config.num_segments) * D + norm
    block = 4 * square + norm + (D * F + F) + (F * D + D) + norm
    encoder_and_pooler = embeddings + config.num_blocks * block + square
    return encoder_and_pooler, (square + norm + V) + (2 * D + 2)


@pytest.mark.parametrize(
    ("config", "with_pooler", "with_heads"),
    [
        (BASE, 109_482_240, 110_106_428),
        (LARGE, 335_141_888, 336_226_108),
    ],
    ids=["base", "large"],
)
def test_full_size_models_have_the_published_size(config, with_pooler, with_heads):
    encoder_and_pooler, heads = count_by_hand(config)
    assert count(config, ("pooler",)) == encoder_and_pooler == with_pooler
    everything = count(config, ("pooler", "mlm", "nsp"))
    assert everything == encoder_and_pooler + heads == with_heads
    untied = dataclasses.replace(config, tied_decoder=False)
    table = config.vocab_size * config.layer_dim
    assert count(untied, ("pooler", "mlm", "nsp")) == with_heads + table


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "config", [LABELLED, BASE, LARGE], ids=["tiny", "base", "large"]
)
def test_the_table_names_every_parameter_once(config, tied):
    labels = ("a", "b", "c")
    config = dataclasses.replace(config, tied_decoder=tied, labels=labels)
    heads = ("pooler", "mlm", "nsp", "token")
    draw = partial(init_params, config=config, heads=heads)
    shapes = jax.eval_shape(draw, jax.random.key(0))
    tree = {"encoder": shapes.encoder, "heads": shapes.heads}
    ours = {
        tuple(entry.key for entry in path): leaf.shape
        for path, leaf in jax.tree.leaves_with_path(tree)
    }
    table = published_tensors(config, heads)
    assert len({tensor.name for tensor in table}) == len(table) == len(ours)
    for tensor in table:
        shape = tensor.shape[::-1] if tensor.transposed else tensor.shape
        assert ours[tensor.path] == shape
        assert tensor.transposed == (tensor.path[-1] == "kernel")


def test_init_is_a_cut_normal_that_is_not_rescaled():
    config = dataclasses.replace(LABELLED, vocab_size=5000, layer_dim=128, mlp_dim=512)
    untied = dataclasses.replace(config, tied_decoder=False)
    params = init_params(jax.random.key(0), untied, ALL_HEADS)
    tables = []
    for path, leaf in jax.tree.leaves_with_path(params):
        values, last = np.asarray(leaf, np.float64), path[-1].key
        if last == "bias":
            assert not values.any()
        elif last == "scale":
            assert (values == 1).all()
        else:
            assert last in ("kernel", "embedding", "decoder")
            assert np.abs(values).max() <= 0.04
            tables.append(values.ravel())
    # The variance of a unit normal that is cut at two deviations.
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    deviation = 0.02 * math.sqrt(1 - 2 * 2 * density / math.erf(math.sqrt(2)))
    assert deviation == pytest.approx(0.0176, abs=5e-5)
    for values in tables:
        error = 5 / math.sqrt(values.size)  # in units of the estimate's own error
        assert values.std() == pytest.approx(deviation, rel=error)
        assert values.mean() == pytest.approx(0, abs=error * deviation)
    every = np.concatenate(tables)
    assert every.std() == pytest.approx(deviation, rel=0.005)
    assert np.abs(every).max() > 0.0399


def test_init_draws_everything_anew():
    params = init_params(jax.random.key(0), LABELLED, ALL_HEADS)
    again = init_params(jax.random.key(0), LABELLED, ALL_HEADS)
    jax.tree.map(np.testing.assert_array_equal, params, again)
    drawn = [
        np.asarray(leaf).ravel()[:32].tobytes()
        for path, leaf in jax.tree.leaves_with_path(params)
        if path[-1].key in ("kernel", "embedding")
    ]
    assert len(set(drawn)) == len(drawn)
    fewer = init_params(jax.random.key(0), LABELLED, ("mlm",))
    jax.tree.map(np.testing.assert_array_equal, fewer.encoder, params.encoder)
    jax.tree.map(np.testing.assert_array_equal, fewer.heads["mlm"], params.heads["mlm"])


def test_out_and_in_again():
    params = init_params(jax.random.key(0), LABELLED, ("pooler", "mlm", "token"))
    tensors = disassemble(params)
    assert all(values.flags.c_contiguous for values in tensors.values())
    assert all(values.dtype == np.float32 for values in tensors.values())
    readers = {name: partial(np.copy, values) for name, values in tensors.items()}
    again = assemble(readers, LABELLED, tuple(params.heads), "somewhere")
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_tensors_are_read_once_and_one_at_a_time():
    tensors = disassemble(init_params(jax.random.key(0), TINY))
    read = []

    def reader(name):
        return lambda: (read.append(name), tensors[name])[1]

    readers = {name: reader(name) for name in tensors}
    assemble(readers, TINY, ("pooler", "mlm", "nsp"), "somewhere")
    assert sorted(read) == sorted(tensors)
    read.clear()
    with pytest.raises(ValueError, match=r"unexpected tensor cls\.seq"):
        assemble(readers, TINY, ("pooler", "mlm"), "somewhere")
    assert not read  # names are checked before anything is read


def test_parameters_that_their_configuration_does_not_describe():
    params = init_params(jax.random.key(0), LABELLED, ("pooler", "sequence"))

    def refused(params: BertParams, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            disassemble(params)

    def with_config(**changes) -> BertParams:
        return params.replace(config=dataclasses.replace(params.config, **changes))

    refused(with_config(num_blocks=3), "have no encoder/layer_2/attention/query/kernel")
    refused(
        with_config(num_blocks=1), "encoder/layer_1/.* and 12 more has no published"
    )
    refused(
        with_config(vocab_size=999), r"word_embeddings.weight has shape \[1000, 32\]"
    )
    refused(with_config(labels=("a",)), r"classifier.weight has shape \[3, 32\]")
    extra = params.heads | {"span": {"kernel": np.zeros((32, 2), np.float32)}}
    refused(params.replace(heads=extra), "no published name for a head 'span'")
    adapter = params.encoder | {"adapter": {"kernel": np.zeros((32, 2), np.float32)}}
    refused(params.replace(encoder=adapter), "encoder/adapter/kernel has no published")
