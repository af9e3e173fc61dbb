# SPDX-License-Identifier: Apache-2.0
"""Attention without dropout by cuDNN's fused kernel, through jax.

It supports 16-bit dtypes only, and no dropout: for embedding and training without it.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.extend.backend import get_backend
from jaxtyping import Array, Bool, Float

# cuDNN has kernels for wider heads on some GPUs only.
_WIDEST_HEAD = 128


def is_there() -> bool:
    """Return whether the default backend's GPUs are NVIDIA's."""
    return "cuda" in get_backend().platform_version


def fits(dtype: jnp.dtype, length: int, head_dim: int) -> bool:
    """Return whether cuDNN supports this dtype, row length and head size on every GPU.

    Example:
      >>> half, full = jnp.dtype("bfloat16"), jnp.dtype("float32")
      >>> fits(half, 40, 64), fits(full, 40, 64), fits(half, 40, 36)
      (True, False, False)
    """
    return (
        dtype in (jnp.bfloat16, jnp.float16)
        # Of odd rows there is no gradient.
        and length % 2 == 0
        and head_dim % 8 == 0
        and head_dim <= _WIDEST_HEAD
    )


def cudnn_attention(
    query: Float[Array, "B T D"],
    key: Float[Array, "B T D"],
    value: Float[Array, "B T D"],
    seen: Bool[Array, "B 1 #T T"],
    head_dim: int,
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> Float[Array, "B T D"]:
    """Compute attention, with the heads side by side in the last axis.

    Args:
      query: of every token; not scaled.
      key: of every token.
      value: of every token.
      seen: whether a query (axis 2) attends to a key (axis 3).
      head_dim: columns of a head; must be supported, see `fits`.
      implementation: of `jax.nn.dot_product_attention`; "xla" is the same computation
        on any device, for tests.

    Returns:
      The weighted values, as of `SelfAttention.attend`, in the values' dtype. For
      queries without any key the result depends on the implementation, but is finite.
    """
    B, T, D = query.shape
    heads = (B, T, D // head_dim, head_dim)
    context = jax.nn.dot_product_attention(
        query.reshape(heads),
        key.reshape(heads),
        value.reshape(heads),
        # cuDNN does not spread one row over all queries.
        mask=jnp.broadcast_to(seen, (B, 1, T, T)),
        implementation=implementation,
    )
    return context.reshape(B, T, D)
