# SPDX-License-Identifier: Apache-2.0
"""Numerical precision: dtypes of numbers, and of matrix products."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_FLOATS = tuple(map(jnp.dtype, ("float32", "bfloat16", "float16", "float64")))


def float_dtype(name: str, dtype: DTypeLike) -> jnp.dtype:
    """Return the dtype of floats that an option names.

    Args:
      name: of the option, for the message.
      dtype: such as "bfloat16" or `jnp.float32`.

    Raises:
      ValueError: it is no dtype of floats that arrays of JAX can have here; names the
        option.

    Example:
      >>> float_dtype("dtype", "int8")
      Traceback (most recent call last):
      ValueError: dtype 'int8' is not one of float32, bfloat16, float16, float64
    """
    try:
        found = None if dtype is None else jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found not in _FLOATS:
        shown = dtype if found is None else found.name
        raise ValueError(
            f"{name} {shown!r} is not one of {', '.join(each.name for each in _FLOATS)}"
        )
    if jax.dtypes.canonicalize_dtype(found) != found:
        raise ValueError(
            f'{name} float64 needs jax.config.update("jax_enable_x64", True); without '
            "it, arrays have 32 bits at most"
        )
    return found


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
