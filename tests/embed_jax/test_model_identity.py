# SPDX-License-Identifier: Apache-2.0
"""A model is told from another by all that its vectors depend on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import elmo_jax
from elmo_jax.vocabulary import Vocabulary
from embed_jax import model_identity
from embed_jax.model_identity import identify_model

WORDS = ("<S>", "</S>", "<UNK>", "bank", "river")
OF_CHARACTERS = elmo_jax.TINY
OF_WORDS = dataclasses.replace(OF_CHARACTERS, char_cnn=None, vocab_size=len(WORDS))


def split_otherwise(text: str) -> list[str]:
    return text.split()


def model_of(config, words=WORDS, **options):
    params = elmo_jax.init_params(jax.random.key(0), config)
    vocabulary = words and Vocabulary(words)
    return params, elmo_jax.ElmoTokenizer(config, vocabulary, **options)


def test_a_model_is_told_by_each_part():
    params, tokenizer = model_of(OF_WORDS)
    whole = identify_model(params, tokenizer)
    assert identify_model(*model_of(OF_WORDS)) == whole
    placed = jax.tree.map(np.asarray, params), tokenizer
    assert identify_model(*placed) == whole
    # Another dtype and another name of a leaf are other weights.
    halved = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    renamed = params.replace(encoder={"x": params.encoder})
    clipped = dataclasses.replace(OF_WORDS, cell_clip=0.5)
    swapped = model_of(OF_WORDS, (*WORDS[:3], "river", "bank"))
    for part, other in {
        "weights": [(halved, tokenizer), (renamed, tokenizer)],
        "configuration": [(params.replace(config=clipped), tokenizer)],
        "tokenizer": [swapped, model_of(OF_WORDS, split=split_otherwise)],
    }.items():
        for each in other:
            found = identify_model(*each)
            assert [key for key in whole if found[key] != whole[key]] == [part]


def test_words_to_predict_are_no_part_of_a_vector():
    one, other = (model_of(OF_CHARACTERS, words) for words in (WORDS, None))
    assert identify_model(*one) == identify_model(*other)


def test_our_own_code_has_a_number(monkeypatch):
    before = identify_model(*model_of(OF_WORDS))
    monkeypatch.setattr(model_identity, "FORM", before["form"] + 1)
    after = identify_model(*model_of(OF_WORDS))
    assert after == before | {"form": before["form"] + 1}


def test_a_field_that_is_added_later_with_its_default_is_no_other_model():
    @dataclasses.dataclass(frozen=True)
    class Grown(type(OF_WORDS)):
        added: float = 0.5

    params, tokenizer = model_of(OF_WORDS)
    fields = {f.name: getattr(OF_WORDS, f.name) for f in dataclasses.fields(OF_WORDS)}
    whole = identify_model(params, tokenizer)
    same, other = Grown(**fields), Grown(**fields, added=0.25)
    assert identify_model(params.replace(config=same), tokenizer) == whole
    assert identify_model(params.replace(config=other), tokenizer) != whole


@pytest.mark.parametrize("tokenizer", [None, object(), ("a", 1)])
def test_a_tokeniser_of_another_family_need_say_nothing(tokenizer):
    found = identify_model({"a": np.zeros(2)}, tokenizer)
    assert found == identify_model({"a": np.zeros(2)}, tokenizer)
    assert found != identify_model({"a": np.zeros(2)}, 1.5)


def test_words_may_be_split_by_a_method_of_python():
    """Which is of no module."""
    found = identify_model(*model_of(OF_WORDS, split=str.split))
    assert found == identify_model(*model_of(OF_WORDS, split=str.split))
    assert found != identify_model(*model_of(OF_WORDS, split=str.splitlines))
    assert found != identify_model(*model_of(OF_WORDS))
