# SPDX-License-Identifier: Apache-2.0
"""Fresh weights are drawn as published, and the tree is what JAX expects of one."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import stats

import elmo_jax
from elmo_jax import TINY, CharCnnConfig, ElmoConfig

CONFIG = ElmoConfig(
    char_cnn=CharCnnConfig(filters=((1, 16), (3, 32), (5, 64)), num_highways=1),
    num_blocks=1,
    cell_dim=96,
    projection_dim=64,
    bidirectional=False,
)
NUM_FILTERS = 16 + 32 + 64


def uniform(bound: float):
    return stats.uniform(-bound, 2 * bound)


def normal(fan_in: int):
    return stats.norm(0, fan_in**-0.5)


def glorot(fan_in: int, fan_out: int):
    return uniform((6 / (fan_in + fan_out)) ** 0.5)


def leaves(tree: dict) -> dict[str, np.ndarray]:
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        "/".join(part.key for part in path): np.asarray(leaf) for path, leaf in paths
    }


LSTM = {
    "forward_0/kernel": glorot(2 * 64, 4 * 96),
    "forward_0/bias": 0.0,
    "forward_0/projection": glorot(96, 64),
}
CHARACTERS = {
    "char_cnn/embedding": uniform(1.0),
    **{f"char_cnn/convolution_{index}/bias": 0.0 for index in range(3)},
    "char_cnn/highway_0/gate/kernel": normal(NUM_FILTERS),
    "char_cnn/highway_0/gate/bias": -2.0,
    "char_cnn/highway_0/transform/kernel": normal(NUM_FILTERS),
    "char_cnn/highway_0/transform/bias": 0.0,
    "char_cnn/projection/kernel": normal(NUM_FILTERS),
    "char_cnn/projection/bias": 0.0,
}
DRAWN = {
    "relu": LSTM
    | CHARACTERS
    | {f"char_cnn/convolution_{index}/kernel": uniform(0.05) for index in range(3)},
    "tanh": LSTM
    | {name: law for name, law in CHARACTERS.items() if "highway" not in name}
    | {
        f"char_cnn/convolution_{index}/kernel": normal(width * 16)
        for index, width in enumerate((1, 3, 5))
    },
    "word_table": LSTM | {"words/embedding": glorot(500, 64)},
}


@pytest.mark.parametrize("kind", DRAWN)
def test_weights_are_drawn_as_published(kind):
    config = dataclasses.replace(CONFIG, char_cnn=None, vocab_size=500)
    if kind != "word_table":
        cnn = dataclasses.replace(
            CONFIG.char_cnn, activation=kind, num_highways=int(kind == "relu")
        )
        config = dataclasses.replace(CONFIG, char_cnn=cnn)
    params = elmo_jax.init_params(jax.random.key(0), config, num_words=300)
    drawn = leaves(params.encoder) | leaves(params.heads)
    expected = DRAWN[kind] | {"softmax/weights": normal(64), "softmax/bias": 0.0}
    assert drawn.keys() == expected.keys()
    for name, values in drawn.items():
        assert values.dtype == np.float32
        if isinstance(expected[name], float):
            assert (values == expected[name]).all(), name
        else:
            assert stats.kstest(values.ravel(), expected[name].cdf).pvalue > 1e-3, name
            assert len(np.unique(values)) > 0.9 * values.size, name


def test_both_directions_and_all_layers_are_drawn_apart():
    config = dataclasses.replace(TINY, char_cnn=None, vocab_size=3)
    params = elmo_jax.init_params(jax.random.key(0), config)
    kernels = [
        params.encoder[f"{side}_{layer}"]["kernel"]
        for side in ("forward", "backward")
        for layer in range(2)
    ]
    assert len({np.asarray(kernel).tobytes() for kernel in kernels}) == 4
    # A softmax and a start state are not there unless they are asked for.
    assert params.heads == {}
    assert params.start is None
    again = elmo_jax.init_params(jax.random.key(0), config, num_words=7)
    jax.tree.map(np.testing.assert_array_equal, again.encoder, params.encoder)
    assert again.heads["softmax"]["weights"].shape == (7, TINY.projection_dim)


def test_the_tree_has_weights_for_leaves_and_the_config_aside():
    config = dataclasses.replace(TINY, char_cnn=None, vocab_size=3)
    params = jax.eval_shape(
        lambda key: elmo_jax.init_params(key, config), jax.random.key(0)
    )
    doubled = jax.tree.map(lambda leaf: leaf.size * 2, params)
    assert doubled.config == config
    P, H = config.projection_dim, config.cell_dim
    lstm = 2 * P * 4 * H + 4 * H + H * P
    assert sum(jax.tree.leaves(doubled)) == 2 * (3 * P + 4 * lstm)


def test_a_new_model_is_float32_where_jax_is_set_to_64_bits():
    with jax.enable_x64(True):
        params = elmo_jax.init_params(jax.random.key(0), TINY, 7)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
