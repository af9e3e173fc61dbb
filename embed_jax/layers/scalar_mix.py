# SPDX-License-Identifier: Apache-2.0
"""The learnable mixture of layers of Peters et al. 2018, equation 1."""

from collections.abc import Sequence
from typing import no_type_check

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from embed_jax.equality import equal_by_value
from embed_jax.suggest import suggest

NORM_SCOPES = ("batch", "row")


@equal_by_value
@no_type_check  # jax also builds such trees of shapes, shardings and stacked weights.
class ScalarMix(flax.struct.PyTreeNode):
    """The learnable parameters of one `mix(…)` or `mix_norm(…)`.

    Attributes:
      weights: one unnormalised logit a layer, in the order of the spec, float32.
      gamma: the scale of the whole vector, float32.
    """

    weights: Float[Array, " L"]
    gamma: Float[Array, ""]

    @classmethod
    def init(cls, num_layers: int) -> "ScalarMix":
        """Return the initial values, zero weights and a gamma of one: the mean.

        Example:
          >>> ScalarMix.init(3).weights.shape
          (3,)
        """
        return cls(jnp.zeros(num_layers, jnp.float32), jnp.ones((), jnp.float32))


def mix_layers(
    layers: Sequence[Float[Array, "*shape"]],
    weights: Float[Array, " L"],
    gamma: Float[Array, ""],
) -> Float[Array, "*shape"]:
    """Sum the layers with softmax-normalised weights, scaled by gamma.

    Peters et al. 2018, equation 1. bilm-tf computes softmax(weights + 1/L), which is
    equal; for the penalty that it adds to the loss see `mix_penalty`.

    Args:
      layers: one array a layer, any float dtype; not stacked, to avoid a copy.
      weights: unnormalised logits.
      gamma: scale of the whole vector.

    Returns:
      float32 vectors, differentiable in all arguments.

    Raises:
      ValueError: there are no layers, or not one weight for each.

    Example:
      >>> layers = [jnp.ones((2, 4)), 3 * jnp.ones((2, 4))]
      >>> float(mix_layers(layers, jnp.zeros(2), jnp.float32(2)).max())
      4.0
    """
    if not layers:
        raise ValueError("there are no layers to mix")
    if jnp.shape(weights) != (len(layers),):
        raise ValueError(
            f"{len(layers)} layers to mix need weights of shape ({len(layers)},), "
            f"not {jnp.shape(weights)}"
        )
    shares = jax.nn.softmax(jnp.asarray(weights, jnp.float32))
    total = sum(
        share * layer.astype(jnp.float32)
        for share, layer in zip(shares, layers, strict=True)
    )
    return jnp.asarray(gamma, jnp.float32) * total


def mix_penalty(
    mix: ScalarMix | Sequence[ScalarMix], coefficient: float
) -> Float[Array, ""]:
    """Return the L2 penalty on the weights of mixes, to add to a task's loss.

    The coefficient times the sum of the squared weights, without a factor 1/2: the
    regularisation of Peters et al. 2018, section 3.3, and the `l2_coef` of bilm-tf.
    Gamma is not penalised. In the paper, a coefficient of 1 keeps the mix close to the
    mean of the layers, and 0.001 lets the weights vary.

    Args:
      mix: the parameters of a mix term, or of several.
      coefficient: 0 or more.

    Returns:
      float32, differentiable in the weights.

    Raises:
      ValueError: a negative coefficient.

    Example:
      >>> mix = ScalarMix(weights=jnp.array([1.0, -2.0]), gamma=jnp.float32(3))
      >>> float(mix_penalty(mix, 0.5)), float(mix_penalty((mix, mix), 0.5))
      (2.5, 5.0)
    """
    if coefficient < 0:
        raise ValueError(f"a coefficient of {coefficient} would reward; 0 or more")
    mixes = (mix,) if isinstance(mix, ScalarMix) else tuple(mix)
    squares = [jnp.sum(jnp.square(jnp.asarray(m.weights, jnp.float32))) for m in mixes]
    return jnp.float32(coefficient) * sum(squares, start=jnp.zeros((), jnp.float32))


def normalise_layer(
    layer: Float[Array, "B T D"],
    mask: Bool[Array, "B T"],
    over: str = "batch",
    texts: Int[Array, "B T"] | None = None,
) -> Float[Array, "B T D"]:
    """Normalise a layer to mean 0 and variance 1 over all real positions and channels.

    As bilm-tf's `weight_layers(do_layer_norm=True)`: one mean and one variance for all
    real positions and all channels, no learnable parameters, epsilon 1e-12 added to the
    variance. AllenNLP differs: its epsilon is 1e-13, and sentence boundaries count.

    Args:
      layer: any float dtype.
      mask: True at real positions; the others may hold any value, even NaN.
      over: "batch" takes the statistics over the whole batch, as bilm-tf, so a vector
        depends on the other rows of its batch; "row" over each row by itself, so it
        does not.
      texts: for rows that hold several texts, the number of each position's text; each
        text of a row is normalised by itself, whatever `over` is.

    Returns:
      float32, zero at padding.

    Raises:
      ValueError: an unknown `over`.

    Example:
      >>> layer = jnp.array([[[1.0, 3.0], [jnp.nan, jnp.nan]]])
      >>> normalise_layer(layer, jnp.array([[True, False]])).tolist()
      [[[-1.0, 1.0], [0.0, 0.0]]]
    """
    if over not in NORM_SCOPES:
        hint = suggest(str(over), NORM_SCOPES, "scopes")
        raise ValueError(f"cannot normalise over {over!r}; {hint}")
    axes = (0, 1, 2) if over == "batch" else (1, 2)

    def total(values: Shaped[Array, "B T _"]) -> Float[Array, "..."]:
        if texts is None:
            return jnp.sum(values, axes, jnp.float32, keepdims=True)
        alike = (texts[:, :, None] == texts[:, None, :]).astype(jnp.float32)
        of_positions = jnp.sum(values, axis=-1, dtype=jnp.float32)
        highest = jax.lax.Precision.HIGHEST
        return jnp.einsum("BTS,BS->BT", alike, of_positions, precision=highest)[
            ..., None
        ]

    real = mask[..., None]
    layer = jnp.where(real, layer.astype(jnp.float32), 0)
    # In float32: the numbers of a large batch would overflow an int32 count.
    count = jnp.maximum(layer.shape[-1] * total(real), 1)
    mean = total(layer) / count
    centred = jnp.where(real, layer - mean, 0)
    variance = total(centred**2) / count
    return centred * jax.lax.rsqrt(variance + 1e-12)
