# SPDX-License-Identifier: Apache-2.0
"""How exactly products are computed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def precision(dtype: jnp.dtype) -> jax.lax.Precision:
    """Return the precision of products: float32 means float32 on every device.

    Left alone, a GPU computes float32 products in TF32 and a TPU in bfloat16, which
    moves vectors by 1e-3. Whoever wants the speed asks for bfloat16.
    """
    if dtype == jnp.float32:
        return jax.lax.Precision.HIGHEST
    return jax.lax.Precision.DEFAULT


def dot(
    left: Float[Array, "*rows X"], right: Float[Array, "X Y"]
) -> Float[Array, "*rows Y"]:
    """Multiply in the type of the right, which is a weight's; sum in float32."""
    return jnp.dot(
        left.astype(right.dtype),
        right,
        precision=precision(right.dtype),
        preferred_element_type=jnp.float32,
    )
