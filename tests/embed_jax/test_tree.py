# SPDX-License-Identifier: Apache-2.0
"""A tree and its named leaves are two forms of one thing."""

from typing import NamedTuple

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

import bert_jax
import elmo_jax
from embed_jax.tree import map_named, name_leaves, nest, summarise

KEYS = st.text(min_size=1, max_size=4).filter(lambda key: "." not in key)
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        st.integers(),
        lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3),
    ),
    max_size=4,
)


class Moments(NamedTuple):
    mean: dict
    square: dict


@hypothesis.given(TREES)
def test_a_tree_comes_back_from_its_named_leaves(tree):
    assert nest(name_leaves(tree)) == tree


@hypothesis.given(TREES)
def test_named_leaves_come_back_from_their_tree_in_its_order(tree):
    named = name_leaves(tree)
    assert list(name_leaves(nest(named)).items()) == list(named.items())
    assert list(named.values()) == jax.tree.leaves(tree)


def test_names_are_the_keys_fields_and_numbers_on_the_way():
    weights = {"norm": {"bias": 1}, "up": {"kernel": 2}}
    state = (Moments(mean=weights, square=weights), {"count": 3})
    assert name_leaves(state) == {
        "0.mean.norm.bias": 1,
        "0.mean.up.kernel": 2,
        "0.square.norm.bias": 1,
        "0.square.up.kernel": 2,
        "1.count": 3,
    }


def test_leaves_are_mapped_with_their_names():
    tree = {"up": (np.ones(2), np.zeros(3))}
    mapped = map_named(
        lambda name, leaf, other: (name, leaf.size, other), tree, {"up": (7, 8)}
    )
    assert mapped == {"up": (("up.0", 2, 7), ("up.1", 3, 8))}


def test_two_leaves_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"two leaves are named up\.bias"):
        name_leaves({"up": {"bias": 1}, "up.bias": 2})


@pytest.mark.parametrize("names", [["up", "up.bias"], ["up.bias", "up"]])
def test_a_leaf_on_the_way_to_another_is_refused(names):
    with pytest.raises(ValueError, match=r"up is a leaf and lies on the way to up\.b"):
        nest(dict.fromkeys(names, 0))


def test_a_summary_counts_weights_and_names_their_dtypes():
    tree = Moments(mean={"up": np.ones((20, 60), np.float32)}, square={})
    assert summarise(tree, "of two") == "Moments(of two, 1,200 weights, float32)"
    mixed = {"b": np.ones(3, np.int8), "a": np.ones((), np.float32), "none": None}
    assert summarise(mixed, "7") == "dict(7, 4 weights, float32, int8)"
    # What stands for arrays: shapes alone, and marks at their places.
    shapes = jax.eval_shape(lambda: {"a": np.ones((2, 2), np.float16)})
    assert summarise(shapes, "7") == "dict(7, 4 weights, float16)"
    assert summarise({"a": True, "b": "kept"}) == "dict(0 weights)"


SHOWN = {
    bert_jax: "BertParams(2 blocks, width 32, heads mlm nsp pooler, {:,} weights, {})",
    elmo_jax: "ElmoParams(2 blocks, width 32, {:,} weights, {})",
}


@pytest.mark.parametrize("package", SHOWN, ids=["bert", "elmo"])
def test_a_model_is_shown_in_one_line_without_its_weights(package):
    params = package.init_params(jax.random.key(0), package.TINY)
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert repr(params) == SHOWN[package].format(number, "float32")
    assert str(params) == repr(params)
    halved = jax.tree.map(lambda leaf: leaf.astype("bfloat16"), params)
    assert repr(halved) == SHOWN[package].format(number, "bfloat16")


@pytest.mark.parametrize("package", SHOWN, ids=["bert", "elmo"])
def test_what_stands_for_a_model_is_shown_alike(package):
    params = package.init_params(jax.random.key(0), package.TINY)
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    expected = SHOWN[package].format(number, "float32")
    assert repr(jax.eval_shape(lambda: params)) == expected
    traced = []
    jax.make_jaxpr(lambda tree: traced.append(repr(tree)))(params)
    assert traced == [expected]
    # No arrays at all, as in a tree of axes.
    axes = jax.tree.map(lambda leaf: leaf.ndim, params)
    assert repr(axes) == SHOWN[package].format(0, "").replace(", )", ")")


@pytest.mark.parametrize("package", SHOWN, ids=["bert", "elmo"])
def test_a_notebook_shows_a_model_in_the_same_line(package):
    pretty = pytest.importorskip("IPython.lib.pretty")
    params = package.init_params(jax.random.key(0), package.TINY)
    assert pretty.pretty(params) == repr(params)
    assert "_repr_html_" not in dir(params)
