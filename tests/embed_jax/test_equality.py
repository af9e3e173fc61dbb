# SPDX-License-Identifier: Apache-2.0
"""What holds arrays is compared by value, and never raises."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bert_jax
import elmo_jax
from elmo_jax.scoring import SentenceScore
from embed_jax import Embedded, ScalarMix
from tests.bert_jax import words
from tests.elmo_jax import sentences

BERT = jax.eval_shape(
    lambda key: bert_jax.init_params(key, words.CONFIG), jax.random.key(0)
)


def drawn(shapes):
    return jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)


ELMO = sentences.make_params(sentences.ONE_BLOCK, 5)
THINGS = {
    "bert params": drawn(BERT),
    "elmo params": ELMO.replace(start=elmo_jax.zero_carry(ELMO.config, 1)),
    "bert tokens": words.make_tokenizer()(["the bank", "we sat by the river"]),
    "elmo tokens": sentences.make_tokenizer(ELMO.config)([["the", "bank"], ["x"]]),
    "state": elmo_jax.zero_carry(ELMO.config, 2)[0][0],
    "mix": ScalarMix(jnp.arange(3.0), jnp.float32(2)),
    "embedded": Embedded(["a", "b"], np.ones((2, 3), np.float32), ()),
    "score": SentenceScore(["a"], np.ones(2), None, np.zeros(1, bool)),
}


@pytest.mark.parametrize("name", THINGS)
def test_copies_are_equal_and_others_are_not(name):
    thing = THINGS[name]
    same = copy.deepcopy(thing)
    assert thing == thing
    assert thing == same
    assert (thing != same) is False
    assert thing in [None, same]
    assert thing != None  # noqa: E711
    assert thing != tuple(jax.tree.leaves(thing))
    leaves, tree = jax.tree.flatten(thing)
    for index, leaf in enumerate(leaves):
        if isinstance(leaf, str):
            continue
        for other in (np.asarray(leaf) + 1, np.asarray(leaf)[None]):
            changed = [*leaves[:index], other, *leaves[index + 1 :]]
            assert thing != tree.unflatten(changed)
    with pytest.raises(TypeError, match="unhashable"):
        hash(thing)


def test_arrays_of_numpy_and_of_jax_are_equal():
    tokens = THINGS["bert tokens"]
    assert tokens == jax.tree.map(jnp.asarray, tokens)


def test_another_configuration_makes_another_model():
    params = THINGS["elmo params"]
    config = params.config
    other = params.replace(config=dataclasses.replace(config, dropout_rate=0.7))
    assert params != other
    assert params == params.replace(config=dataclasses.replace(config))


def test_a_nan_equals_nothing_but_an_array_itself():
    mix = ScalarMix(jnp.array([jnp.nan]), jnp.float32(1))
    assert mix == mix.replace()
    assert mix != ScalarMix(jnp.array([jnp.nan]), mix.gamma)


@pytest.mark.parametrize("other", [None, (1.0, 1.0), [1.0, 1.0], {}, "ab", 1.0])
def test_an_array_equals_only_arrays_and_numbers(other):
    """As the vectors of several specs, a tuple, beside those of one."""
    one, two = (Embedded(["a"], vectors, ()) for vectors in (np.ones(2), other))
    assert (one == two, two == one) == (False, False)


def test_an_array_without_axes_equals_its_number():
    weights = jnp.arange(3.0)
    assert ScalarMix(weights, jnp.float32(2)) == ScalarMix(weights, 2.0)
    assert ScalarMix(weights, 3.0) != ScalarMix(weights, jnp.float32(2))
