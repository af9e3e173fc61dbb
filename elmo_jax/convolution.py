# SPDX-License-Identifier: Apache-2.0
"""Convolution with max pooling over positions, with a custom gradient.

Only the position of a filter's maximum gets a gradient, so only its index is saved for
the backward pass, not the responses, which are by far the largest array of a biLM. On
CPU the wide filters process the words in portions whose responses fit in the cache. See
docs/decisions/lstm-training.md.
"""

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from embed_jax.devices.any_mesh import mesh_of, varying_alike
from embed_jax.devices.materialise import materialise
from embed_jax.devices.platform import target_platform
from embed_jax.devices.precision import precision

# Words whose responses are in memory at once.
PORTION = 64
# With fewer filters the gradient that jax derives is as fast.
FEWEST_FILTERS = 256


def highest_responses(
    embedded: Float[Array, "U C E"], kernel: Float[Array, "w E F"]
) -> Float[Array, "U F"]:
    """Convolve words with filters and take the maximum over positions.

    Args:
      embedded: the characters of each word, of the dtype of the products.
      kernel: filters of `w` characters each; no padding is added.
    """
    kernel = _whole_along_width(kernel)
    if target_platform() == "cpu" and kernel.shape[-1] >= FEWEST_FILTERS:
        return _highest_in_portions(*varying_alike((embedded, kernel)))
    return _highest(embedded, kernel)


def _whole_along_width(kernel: Float[Array, "w E F"]) -> Float[Array, "w E F"]:
    """Keep the width of filters, which may be sharded in any way, from being divided.

    XLA (of jax 0.10 and 0.12) computes wrong gradients of a convolution whose filters
    are divided along their width, if a product that follows is divided too.
    """
    mesh = mesh_of(kernel)
    is_auto = all(kind == AxisType.Auto for kind in mesh.axis_types)
    if mesh.empty or not is_auto or not isinstance(kernel, Tracer):
        return kernel
    free = PartitionSpec.UNCONSTRAINED
    whole = NamedSharding(mesh, PartitionSpec(None, free, free))
    return jax.lax.with_sharding_constraint(kernel, whole)


def _highest(embedded: Array, kernel: Array) -> Array:
    responses = jax.lax.conv_general_dilated(
        embedded,
        kernel,
        window_strides=(1,),
        padding="VALID",
        dimension_numbers=("NHC", "HIO", "NHC"),
        precision=precision(embedded.dtype),
    )
    return jnp.max(responses, axis=1)


_highest_in_portions = jax.custom_vjp(_highest)


def _forward(embedded: Array, kernel: Array) -> tuple[Array, tuple]:
    filters = kernel.reshape(-1, kernel.shape[-1])

    def respond(portion: Array) -> tuple[Array, Array]:
        windows = _windows(portion, len(kernel))
        responses = materialise(_dot(windows.reshape(-1, len(filters)), filters))
        responses = responses.reshape(*windows.shape[:2], -1)
        where = jnp.argmax(responses, axis=1)
        return jnp.max(responses, axis=1), where

    highest, where = jax.lax.map(respond, _portions(embedded))
    highest = highest.reshape(-1, kernel.shape[-1])[: len(embedded)]
    return highest, (embedded, kernel, where)


def _backward(residuals: tuple, slopes: Array) -> tuple[Array, Array]:
    embedded, kernel, where = residuals
    width, depth, number = kernel.shape
    filters = kernel.reshape(-1, number)
    to_windows = materialise(filters.T)
    positions = jnp.arange(embedded.shape[1] - width + 1)

    def respond(of_filters: Array, portion: tuple) -> tuple[Array, Array]:
        characters, where, slopes = portion
        is_highest = where[:, None] == positions[None, :, None]
        of_responses = jnp.where(is_highest, slopes[:, None], 0)
        of_responses = materialise(of_responses.reshape(-1, number))
        windows = _windows(characters, width).reshape(-1, len(filters))
        of_filters += _dot(materialise(windows.T), of_responses)
        of_windows = materialise(_dot(of_responses, to_windows))
        of_windows = of_windows.reshape(PORTION, -1, width, depth)
        of_characters = jnp.zeros_like(characters)
        for at in range(width):
            around = (0, 0), (at, width - 1 - at), (0, 0)
            of_characters += jnp.pad(of_windows[:, :, at], around)
        return of_filters, of_characters

    of_filters, of_embedded = jax.lax.scan(
        respond,
        jnp.zeros_like(filters),
        (_portions(embedded), where, _portions(slopes)),
    )
    of_embedded = of_embedded.reshape(-1, *embedded.shape[1:])[: len(embedded)]
    return of_embedded, of_filters.reshape(kernel.shape)


_highest_in_portions.defvjp(_forward, _backward)


def _portions(words: Float[Array, "U ..."]) -> Float[Array, "N portion ..."]:
    """Cut words into portions, the last one padded with zeros."""
    missing = -len(words) % PORTION
    padding = [(0, missing), *[(0, 0)] * (words.ndim - 1)]
    return jnp.pad(words, padding).reshape(-1, PORTION, *words.shape[1:])


def _windows(
    characters: Float[Array, "U C E"], width: int
) -> Float[Array, "U positions seen"]:
    """Return the window of characters of a filter at each position (im2col)."""
    number = characters.shape[1] - width + 1
    shifted = [characters[:, at : at + number] for at in range(width)]
    return jnp.concatenate(shifted, axis=-1)


def _dot(left: Array, right: Array) -> Array:
    return jnp.dot(left, right, precision=precision(right.dtype))
