# SPDX-License-Identifier: Apache-2.0
"""Trees of arrays as flat dictionaries of named leaves, the form used in files.

A leaf's name is its path, such as `encoder.layer_0.mlp.up.kernel`. Checkpoints,
exported programs and classifiers store leaves by these names: they are a file format.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

SEPARATOR = "."
"""Separates the keys of a leaf's path."""


def name_leaves(tree: Any) -> dict[str, Any]:
    """Return the leaves by name (their path), in the order of the tree.

    Raises:
      ValueError: two leaves have the same name, because a key contains a dot.

    Example:
      >>> name_leaves({"encoder": {"bias": 1, "kernel": 2}, "start": (3, 4)})
      {'encoder.bias': 1, 'encoder.kernel': 2, 'start.0': 3, 'start.1': 4}
    """
    named: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = _name(path)
        if name in named:
            raise ValueError(f"two leaves are named {name}; use keys without dots")
        named[name] = leaf
    return named


def nest(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested dictionaries whose leaves have these names.

    The inverse of `name_leaves` for nested dictionaries, none of them empty, whose keys
    are strings without dots.

    Raises:
      ValueError: the name of one leaf is a prefix of the path of another.

    Example:
      >>> nest({"encoder.bias": 1, "encoder.kernel": 2})
      {'encoder': {'bias': 1, 'kernel': 2}}
    """
    tree: dict[str, Any] = {}
    for name, leaf in named.items():
        *above, last = name.split(SEPARATOR)
        branch, way = tree, []
        for key in above:
            way.append(key)
            if SEPARATOR.join(way) in named:
                raise ValueError(
                    f"{SEPARATOR.join(way)} is a leaf and lies on the way to {name}"
                )
            branch = branch.setdefault(key, {})
        branch[last] = leaf
    return tree


def map_named(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Return the tree of `function(name, leaf, *leaves of the others)`.

    Example:
      >>> map_named(lambda name, leaf: f"{name}={leaf}", {"norm": {"bias": 1}})
      {'norm': {'bias': 'norm.bias=1'}}
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, *leaves: function(_name(path), *leaves), tree, *others
    )


def summarise(tree: Any, *facts: str) -> str:
    """Describe a tree of weights in one line, for a short `repr`.

    Args:
      tree: of arrays, or of objects with `shape` and `dtype`.
      *facts: what else to say, before the number of weights.

    Example:
      >>> summarise({"bias": jax.numpy.zeros((2, 600))}, "2 blocks", "width 600")
      'dict(2 blocks, width 600, 1,200 weights, float32)'
    """
    arrays = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape")]
    number = sum(math.prod(leaf.shape) for leaf in arrays)
    dtypes = sorted({str(leaf.dtype) for leaf in arrays})
    parts = [*facts, f"{number:,} weights", *dtypes]
    return f"{type(tree).__name__}({', '.join(parts)})"


def summarise_model(params: Any) -> str:
    """Describe a model's weights in one line: blocks, width, weights and heads.

    Args:
      params: has `config`, with `num_blocks` and `layer_dim`, and `heads`. Its leaves
        may be anything, such as tracers, shapes or shardings.
    """
    config, heads = params.config, params.heads
    facts = [f"{config.num_blocks} blocks", f"width {config.layer_dim}"]
    if isinstance(heads, Mapping) and heads:
        facts.append(f"heads {' '.join(sorted(map(str, heads)))}")
    return summarise(params, *facts)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=SEPARATOR)
