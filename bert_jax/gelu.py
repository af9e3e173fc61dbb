# SPDX-License-Identifier: Apache-2.0
"""The exact GELU, x·Φ(x), differentiable on any mesh."""

import jax
import jax.numpy as jnp
from jax.sharding import AxisType
from jaxtyping import Array, Float

from embed_jax.devices.any_mesh import mesh_of


def exact_gelu(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """Compute the GELU by the error function, as `jax.nn.gelu` does."""
    if AxisType.Manual in mesh_of(values).axis_types:
        return _gelu(values)
    return jax.nn.gelu(values, approximate=False)


# In shard_map, jax 0.12.0 cannot differentiate the error function.
@jax.custom_jvp
def _gelu(values: Array) -> Array:
    return jax.nn.gelu(values, approximate=False)


@_gelu.defjvp
def _gelu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (values,), (change,) = primals, tangents
    below = jax.lax.erfc(-values * 2**-0.5) / 2
    density = jnp.exp(-values * values / 2) * (2 * jnp.pi) ** -0.5
    return _gelu(values), change * (below + values * density)
