# SPDX-License-Identifier: Apache-2.0
"""The affine map and the normalisation that every part of BERT is made of."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.config import BertConfig, HiddenAct
from embed_jax.devices.precision import precision

ACTIVATIONS: dict[HiddenAct, Callable[[jax.Array], jax.Array]] = {
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


def published_init(config: BertConfig) -> nn.initializers.Initializer:
    """Return the initialiser of every table and kernel.

    A normal cut at two deviations and not re-scaled, so the effective deviation is
    0.88 of the nominal one, exactly as TensorFlow's `truncated_normal_initializer`.
    """
    return nn.initializers.truncated_normal(config.init_std)


def Dense(  # noqa: N802 (reads as the module it returns)
    config: BertConfig,
    features: int | None = None,
    *,
    name: str,
    dtype: jnp.dtype,
) -> nn.Dense:
    """Return an affine map to `features` columns, `layer_dim` by default."""
    return nn.Dense(
        features or config.layer_dim,
        dtype=dtype,
        precision=precision(dtype),
        kernel_init=published_init(config),
        name=name,
    )


def LayerNorm(  # noqa: N802 (reads as the module it returns)
    config: BertConfig, *, name: str, dtype: jnp.dtype
) -> nn.LayerNorm:
    """Return a normalisation with statistics in float32.

    Linen's fast variance, E[x²] - E[x]², loses digits that the two-pass form keeps.
    """
    return nn.LayerNorm(
        epsilon=config.norm_epsilon, use_fast_variance=False, dtype=dtype, name=name
    )
