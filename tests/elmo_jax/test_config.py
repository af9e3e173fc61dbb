# SPDX-License-Identifier: Apache-2.0
"""Configurations: published sizes, hashable, and no model that cannot be."""

import dataclasses

import jax
import pytest

import elmo_jax
from elmo_jax import TINY, CharCnnConfig, ElmoConfig


def published(cell_dim: int, projection_dim: int, num_highways: int) -> ElmoConfig:
    return ElmoConfig(
        char_cnn=CharCnnConfig(num_highways=num_highways),
        cell_dim=cell_dim,
        projection_dim=projection_dim,
    )


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (published(1024, 128, 1), 13_593_296),
        (published(2048, 256, 1), 28_027_728),
        (published(4096, 512, 2), 93_600_848),
        (ElmoConfig(), 93_600_848),
    ],
)
def test_published_models_have_their_published_sizes(config, count):
    params = jax.eval_shape(
        lambda key: elmo_jax.init_params(key, config), jax.random.key(0)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_derived_sizes():
    config = ElmoConfig()
    assert (config.num_directions, config.layer_dim) == (2, 1024)
    assert (config.char_cnn.num_filters, config.char_cnn.max_width) == (2048, 7)
    assert config.has_projection
    one_way = dataclasses.replace(config, bidirectional=False, projection_dim=4096)
    assert (one_way.num_directions, one_way.layer_dim) == (1, 4096)
    assert not one_way.has_projection


def test_a_config_is_a_static_argument_of_jit():
    again = dataclasses.replace(TINY)
    assert (again, hash(again)) == (TINY, hash(TINY))
    other = dataclasses.replace(TINY, projection_clip=None)
    assert other != TINY
    with pytest.raises(dataclasses.FrozenInstanceError):
        other.projection_clip = 3.0  # pyright: ignore[reportAttributeAccessIssue]


def refusal(config: ElmoConfig | CharCnnConfig, changes: dict) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared by the caller)
        dataclasses.replace(config, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embedding_dim": 0}, "embedding_dim must be at least 1, not 0"),
        ({"num_highways": -1}, "num_highways must be at least 0, not -1"),
        ({"filters": ()}, "filters are empty; give pairs of width and number"),
        ({"filters": ((1, 4), (0, 8))}, "a filter of width 0 and number 8"),
        ({"filters": ((2, 0),)}, "a filter of width 2 and number 0"),
        (
            {"max_characters": 2, "filters": ((1, 4),)},
            "max_characters 2 leaves no room for a byte between its marks",
        ),
        ({"max_characters": 6}, "or for a filter of width 7"),
    ],
)
def test_character_settings_that_are_refused(changes, message):
    assert message in refusal(CharCnnConfig(), changes)


def test_an_unknown_activation_is_refused():
    # Set afterwards: the annotation, which is checked in tests, forbids it before.
    config = dataclasses.replace(CharCnnConfig())
    object.__setattr__(config, "activation", "gelu")
    with pytest.raises(ValueError, match=r"^activation must be 'relu' or 'tanh'"):
        config.__post_init__()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_blocks": 0}, "num_blocks must be at least 1, not 0"),
        ({"cell_dim": 0}, "cell_dim must be at least 1, not 0"),
        ({"projection_dim": 0}, "projection_dim must be at least 1, not 0"),
        ({"projection_dim": 33}, "projection_dim 33 is above cell_dim 32; the LSTM"),
        ({"char_cnn": None}, "from a table of vocab_size words: one of both, not"),
        ({"vocab_size": 5}, "by a char_cnn or from a table of vocab_size words"),
        ({"cell_clip": 0.0}, "cell_clip must be above 0, or None, not 0.0"),
        (
            {"cell_clip": float("inf")},
            "cell_clip must be a finite number or",
        ),
        ({"projection_clip": -1.0}, "projection_clip must be above 0, or None, not"),
        ({"projection_clip": float("nan")}, "must be a finite number or None, not nan"),
        ({"dropout_rate": 1.0}, "dropout_rate must be at least 0 and below 1, not 1.0"),
        ({"dropout_rate": -0.1}, "dropout_rate must be at least 0 and below 1"),
    ],
)
def test_settings_that_are_refused(changes, message):
    assert message in refusal(TINY, changes)


def test_settings_at_the_edge_are_a_models():
    for changes in (
        {"projection_dim": 32},
        {"cell_clip": None, "projection_clip": None},
        {"dropout_rate": 0.0},
        {"char_cnn": None, "vocab_size": 1},
    ):
        assert dataclasses.replace(TINY, **changes) != TINY
    smallest = CharCnnConfig(
        max_characters=3, filters=((3, 1),), embedding_dim=1, num_highways=0
    )
    assert smallest.num_filters == 1
