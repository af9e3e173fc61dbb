# SPDX-License-Identifier: Apache-2.0
"""A configuration survives its file; whatever cannot be a model is refused."""

import dataclasses
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax import TINY, BertConfig, BertParams
from bert_jax.config import HiddenAct
from bert_jax.huggingface import read_config, write_config

SOURCE = "some/config.json"


@st.composite
def fields(draw):
    """Draw the fields alone: checking annotations inside a strategy is refused."""
    size = st.integers(1, 10**6)
    rate = st.floats(0, 1, exclude_max=True)
    num_heads, vocab_size = draw(st.integers(1, 64)), draw(size)
    return {
        "vocab_size": vocab_size,
        "num_blocks": draw(size),
        "num_heads": num_heads,
        "layer_dim": num_heads * draw(st.integers(1, 256)),
        "mlp_dim": draw(size),
        "max_positions": draw(size),
        "num_segments": draw(size),
        "hidden_act": draw(st.sampled_from(get_args(HiddenAct))),
        "norm_epsilon": draw(st.floats(1e-12, 1e-2)),
        "dropout_rate": draw(rate),
        "attention_dropout_rate": draw(rate),
        "classifier_dropout_rate": draw(st.none() | rate),
        "init_std": draw(st.floats(0, 1)),
        "pad_id": draw(st.integers(0, vocab_size - 1)),
        "tied_decoder": draw(st.booleans()),
        "labels": tuple(draw(st.lists(st.text(), max_size=15))),
    }


@given(fields())
def test_config_to_json_and_back(fields):
    config = BertConfig(**fields)
    # A head whose outputs the labels name.
    params = BertParams(encoder={}, heads={"sequence": {}}, config=config)
    text = json.dumps(write_config(params), sort_keys=True)
    assert read_config(json.loads(text), SOURCE) == config


@given(fields())
def test_a_config_is_a_static_argument_of_jit(fields):
    config, again = BertConfig(**fields), BertConfig(**fields)
    assert (again, hash(again)) == (config, hash(config))


def test_defaults_are_bert_base():
    assert read_config({}, SOURCE) == BertConfig()
    config = BertConfig()
    sizes = (config.vocab_size, config.num_blocks, config.num_heads, config.layer_dim)
    assert sizes == (30522, 12, 12, 768)
    sizes = (config.mlp_dim, config.max_positions, config.num_segments)
    assert sizes == (3072, 512, 2)
    assert (config.head_dim, config.norm_epsilon, config.hidden_act) == (
        64,
        1e-12,
        "gelu",
    )


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({"pad_token_id": None}, {"pad_id": 0}),
        ({"pad_token_id": 5}, {"pad_id": 5}),
        ({"classifier_dropout": None}, {}),
        ({"classifier_dropout": 0}, {"classifier_dropout_rate": 0.0}),
        ({"hidden_dropout_prob": 0}, {"dropout_rate": 0.0}),
        ({"position_embedding_type": "absolute"}, {}),
        ({"position_embedding_type": None}, {}),
        ({"is_decoder": False, "add_cross_attention": None}, {}),
        ({"model_type": "bert", "use_cache": True, "pooler_type": "first"}, {}),
        ({"id2label": None}, {}),
        ({"id2label": {}}, {}),
        ({"id2label": {"1": "b", "0": "a"}}, {"labels": ("a", "b")}),
        ({"id2label": {"0": 3, "1": 4}}, {"labels": ("3", "4")}),
    ],
)
def test_settings_that_are_read(settings, changes):
    config = read_config(settings, SOURCE)
    assert config == dataclasses.replace(BertConfig(), **changes)
    assert isinstance(config.dropout_rate, float)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta', and only bert is read"),
        ({"position_embedding_type": "relative_key"}, "type is 'relative_key'; only"),
        ({"position_embedding_type": "relative_key_query"}, "would give wrong vectors"),
        ({"is_decoder": True}, "is_decoder is True; only False is BERT"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"hidden_act": "quick_gelu"}, "hidden_act must be one of gelu, gelu_new, "),
        ({"hidden_act": None}, "hidden_act must be one of gelu, gelu_new, "),
        ({"hidden_act": ["gelu"]}, 'silu, tanh, not ["gelu"]'),
        (
            {"hidden_size": 32, "num_attention_heads": 5},
            "hidden_size 32 is not a multiple of num_attention_heads 5",
        ),
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be at least 1, not -1"),
        ({"num_hidden_layers": None}, "num_hidden_layers must be a whole number, not "),
        ({"num_attention_heads": None}, "must be a whole number, not null"),
        ({"vocab_size": "30522"}, 'vocab_size must be a whole number, not "30522"'),
        ({"intermediate_size": 3072.0}, "must be a whole number, not 3072.0"),
        ({"type_vocab_size": True}, "type_vocab_size must be a whole number, not true"),
        ({"max_position_embeddings": [512]}, "must be a whole number, not [512]"),
        ({"layer_norm_eps": 0}, "layer_norm_eps must be above 0, not 0.0"),
        ({"layer_norm_eps": None}, "layer_norm_eps must be a number, not null"),
        ({"layer_norm_eps": "1e-12"}, 'layer_norm_eps must be a number, not "1e-12"'),
        (
            {"layer_norm_eps": float("nan")},
            "must be a finite number, not nan",
        ),
        (
            {"hidden_dropout_prob": 1},
            "hidden_dropout_prob must be at least 0 and below",
        ),
        (
            {"hidden_dropout_prob": None},
            "hidden_dropout_prob must be a number, not null",
        ),
        ({"attention_probs_dropout_prob": -0.1}, "dropout_prob must be at least 0 and"),
        ({"classifier_dropout": "no"}, 'classifier_dropout must be a number, not "no"'),
        ({"initializer_range": float("inf")}, "must be a finite number, not inf"),
        ({"pad_token_id": -1}, "pad_token_id -1 is outside the vocabulary of 30522"),
        ({"pad_token_id": 30522}, "pad_token_id 30522 is outside the vocabulary"),
        ({"pad_token_id": "0"}, 'pad_token_id must be a whole number, not "0"'),
        (
            {"tie_word_embeddings": None},
            "tie_word_embeddings must be true or false, not",
        ),
        ({"id2label": ["a", "b"]}, "id2label must map numbers to names"),
        ({"id2label": {"a": "b"}}, "id2label must number its 1 labels from 0 on"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label must number its 2 labels"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared below)
        read_config(settings, SOURCE)
    assert str(caught.value).startswith(f"{SOURCE}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_dim": 31}, "layer_dim 31 is not a multiple of num_heads 2"),
        ({"mlp_dim": 0}, "mlp_dim must be at least 1, not 0"),
        ({"pad_id": 1000}, "pad_id 1000 is outside the vocabulary of 1000"),
        (
            {"classifier_dropout_rate": 1.5},
            "classifier_dropout_rate must be at least 0",
        ),
        ({"norm_epsilon": 0.0}, "norm_epsilon must be above 0"),
        ({"init_std": -0.1}, "init_std must be at least 0"),
    ],
)
def test_values_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)
