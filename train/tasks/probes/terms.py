# SPDX-License-Identifier: Apache-2.0
"""The terms of a `layer_spec`, computed from cached features.

A mix is the only term that depends on weights to be learnt, so its layers are kept
separate; every other term is reduced to one vector a word.
"""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from train.tasks.features import Features


def check_term(spec: str | LayerSpec, num_blocks: int) -> LayerSpec:
    """Parse a spec, and check that it can be computed for each word separately.

    Raises:
      ValueError: a malformed spec, a layer that the model lacks, a `mix_norm`.
    """
    parsed = parse_layer_spec(spec)
    parsed.resolve(num_blocks)
    if parsed.normalises:
        raise ValueError(
            f'layer_spec "{parsed.text}": mix_norm takes its mean and variance over '
            "all words of a text, and only single words are kept here; use mix"
        )
    return parsed


def read_terms(
    features: Features, spec: str | LayerSpec
) -> list[Float[np.ndarray, "rows _ _"]]:
    """Read the terms of a spec, one array each, in order.

    Args:
      features: of all rows.
      spec: without `mix_norm`.

    Returns:
      `[rows, layers, width]` in float16, like the features. A mix has its layers along
      the second axis, which has length 1 for every other term.

    Raises:
      ValueError: as `check_term`.
    """
    parsed = check_term(spec, features.num_blocks)
    return [
        _read_term(features, function, layers)
        for function, layers in parsed.resolve(features.num_blocks)
    ]


def read_vectors(
    features: Features, spec: str | LayerSpec
) -> Float[np.ndarray, "rows width"]:
    """Read the vectors of a spec whose mixes are untrained, and so means.

    Raises:
      ValueError: as `check_term`.
    """
    parsed = check_term(spec, features.num_blocks)
    terms = [
        _read_term(features, "mean" if function == "mix" else function, layers)[:, 0]
        for function, layers in parsed.resolve(features.num_blocks)
    ]
    return terms[0] if len(terms) == 1 else np.concatenate(terms, axis=1)


def _read_term(
    features: Features, function: str, layers: Sequence[int]
) -> Float[np.ndarray, "rows layers width"]:
    if function == "mix":
        return features.read(layers, "float16")
    if function == "concat":
        stacked = features.read(layers, "float16")
        return stacked.reshape(len(stacked), 1, -1)
    # One layer at a time: all of them in float32 would not fit where one does.
    combine = np.maximum if function == "max" else np.add
    read = (features.read([layer]) for layer in layers)
    combined = functools.reduce(lambda total, one: combine(total, one, out=total), read)
    if function == "mean":
        combined /= len(layers)
    return combined.astype(np.float16)
