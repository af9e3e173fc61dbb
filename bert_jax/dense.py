# SPDX-License-Identifier: Apache-2.0
"""Dense layers and layer normalisation with BERT's initialisation and constants."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from bert_jax.config import BertConfig, HiddenAct
from bert_jax.gelu import exact_gelu
from embed_jax.devices.precision import precision

ACTIVATIONS: dict[HiddenAct, Callable[[jax.Array], jax.Array]] = {
    "gelu": exact_gelu,
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


def published_init(config: BertConfig) -> nn.initializers.Initializer:
    """Return the initialiser of all embedding tables and kernels.

    A normal truncated at two standard deviations and not re-scaled, so the effective
    deviation is 0.88 of the nominal one, as in TensorFlow's
    `truncated_normal_initializer`.
    """
    return nn.initializers.truncated_normal(config.init_std)


def Dense(  # noqa: N802 (reads as the module it returns)
    config: BertConfig,
    features: int | None = None,
    *,
    name: str,
    dtype: jnp.dtype,
) -> nn.Dense:
    """Return a dense layer with `features` outputs, `layer_dim` by default."""
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
    """Return layer normalisation with statistics in float32.

    The variance is computed in two passes; Linen's fast E[x²] - E[x]² loses digits.
    """
    return nn.LayerNorm(
        epsilon=config.norm_epsilon, use_fast_variance=False, dtype=dtype, name=name
    )
