# SPDX-License-Identifier: Apache-2.0
"""Numerical precision of matrix products."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def precision(dtype: jnp.dtype) -> jax.lax.Precision:
    """Return the precision of products of a dtype; float32 is exact on every device.

    By default, a GPU computes float32 products in TF32 and a TPU in bfloat16, which
    changes vectors by 1e-3. For that speed, choose bfloat16 as the dtype.
    """
    if dtype == jnp.float32:
        return jax.lax.Precision.HIGHEST
    return jax.lax.Precision.DEFAULT


def dot(
    left: Float[Array, "*rows X"], right: Float[Array, "X Y"]
) -> Float[Array, "*rows Y"]:
    """Multiply in the dtype of `right`, the weights; accumulate in float32."""
    return jnp.dot(
        left.astype(right.dtype),
        right,
        precision=precision(right.dtype),
        preferred_element_type=jnp.float32,
    )
