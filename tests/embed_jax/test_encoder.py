# SPDX-License-Identifier: Apache-2.0
"""The encoder of a model is found without naming any."""

import pytest

import bert_jax
from embed_jax.encoder import Encoder, find_encoder


def test_bert_is_registered_and_offers_what_the_command_needs(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert find_encoder(str(tmp_path)) is bert_jax
    assert isinstance(bert_jax, Encoder)


def test_what_looks_like_a_hub_id_may_be_one():
    assert find_encoder("google-bert/bert-base-cased") is bert_jax


def test_other_models_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ValueError, match=r"not a model that is known here .*bert"):
        find_encoder(str(tmp_path))
