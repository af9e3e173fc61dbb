# SPDX-License-Identifier: Apache-2.0
"""How exactly products are computed."""

import jax
import jax.numpy as jnp


def precision(dtype: jnp.dtype) -> jax.lax.Precision:
    """Return the precision of products: float32 means float32 on every device.

    Left alone, a GPU computes float32 products in TF32 and a TPU in bfloat16, which
    moves vectors by 1e-3. Whoever wants the speed asks for bfloat16.
    """
    if dtype == jnp.float32:
        return jax.lax.Precision.HIGHEST
    return jax.lax.Precision.DEFAULT
