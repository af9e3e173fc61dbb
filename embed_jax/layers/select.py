# SPDX-License-Identifier: Apache-2.0
"""Selection and combination of the layers of an encoder by a `LayerSpec`."""

import functools
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embed_jax.layers.layer_spec import LayerSpec, parse_layer_spec
from embed_jax.layers.scalar_mix import ScalarMix, mix_layers, normalise_layer

Mix = ScalarMix | tuple[ScalarMix, ...] | None
"""The mix parameters of one spec: of its one mix term, or one for each in order."""
Specs = str | LayerSpec | tuple[str | LayerSpec, ...]
"""One spec, or several that are computed in one run."""


def pair_mixes(
    layer_spec: Specs, mix: Mix | tuple[Mix, ...]
) -> tuple[tuple[LayerSpec, ...], tuple[Mix, ...]]:
    """Return the parsed specs and the mix of each, for one spec or several.

    Raises:
      ValueError: a malformed spec, no spec at all, or not one mix for each.

    Example:
      >>> pair_mixes("last", None)[1], pair_mixes(("last", "first"), None)[1]
      ((None,), (None, None))
    """
    if not isinstance(layer_spec, tuple):
        return (parse_layer_spec(layer_spec),), (mix,)  # pyright: ignore
    if not layer_spec:
        raise ValueError('a tuple of layer specs needs one or more, such as ("last",)')
    specs = tuple(map(parse_layer_spec, layer_spec))
    mixes = (None,) * len(specs) if mix is None else mix
    if not isinstance(mixes, tuple) or len(mixes) != len(specs):
        raise ValueError(f"{len(specs)} specs need a tuple of {len(specs)} mixes")
    return specs, mixes  # pyright: ignore[reportReturnType]


def select_each(
    layers: Sequence[Float[Array, "B T D"]],
    specs: Sequence[LayerSpec],
    mixes: Sequence[Mix],
    num_blocks: int,
    mask: Bool[Array, "B T"],
    norm_over: str = "batch",
) -> tuple[Float[Array, "B T _"], ...]:
    """Apply `select_layers` for each spec; `layers` begins with layer 0."""
    found = dict(enumerate(layers))
    return tuple(
        select_layers(found, spec, num_blocks, mask, mix, norm_over)
        for spec, mix in zip(specs, mixes, strict=True)
    )


def select_layers(
    layers: Mapping[int, Float[Array, "B T D"]],
    spec: LayerSpec,
    num_blocks: int,
    mask: Bool[Array, "B T"],
    mix: ScalarMix | Sequence[ScalarMix] | None = None,
    norm_over: str = "batch",
    texts: Int[Array, "B T"] | None = None,
) -> Float[Array, "B T width"]:
    """Choose, combine and concatenate layers.

    Args:
      layers: arrays by layer index; only `spec.layers(num_blocks)` are read.
      spec: what to select, from `parse_layer_spec`.
      num_blocks: L; the model's layers are 0 to L, computed or not.
      mask: True at real positions; the others may hold any value, even NaN.
      mix: a `ScalarMix` for the spec's one mix term, or several, one a mix term in
        order; by default zero weights and a gamma of one.
      norm_over: the scope of `mix_norm`, see
        `embed_jax.layers.scalar_mix.normalise_layer`.
      texts: likewise, of rows that hold several texts.

    Returns:
      Vectors of width `spec.width(num_blocks, D)`, zero at padding. `sum`, `mean`,
      `mix` and `mix_norm` are computed and returned in float32, the others in the
      layers' own dtype; a concatenation of both is float32.

    Raises:
      ValueError: the model lacks a layer of the spec, a needed layer is not in
        `layers`, or the number of mixes, or of their weights, does not fit the spec.

    Example:
      >>> from embed_jax.layers.layer_spec import parse_layer_spec
      >>> layers = {layer: jnp.full((1, 2, 4), float(layer)) for layer in range(3)}
      >>> spec = parse_layer_spec("last,mean(0,2)")
      >>> select_layers(layers, spec, 2, jnp.array([[True, False]]))[..., ::4].tolist()
      [[[2.0, 1.0], [0.0, 0.0]]]
    """
    needed = spec.layers(num_blocks)
    absent = [layer for layer in needed if layer not in layers]
    if absent:
        raise ValueError(
            f'layer_spec "{spec}" needs layers {list(needed)}, '
            f"but {absent} are not among those given, {sorted(layers)}"
        )
    mixes = iter(mix_of_each_term(spec, num_blocks, mix))
    # Zeroed before anything is computed: a NaN at padding times a zero gradient is NaN.
    real = {layer: jnp.where(mask[..., None], layers[layer], 0) for layer in needed}
    parts = []
    for function, indices in spec.resolve(num_blocks):
        chosen = [real[layer] for layer in indices]
        match function:
            case "concat":
                parts.extend(chosen)
            case "sum":
                parts.append(_sum(chosen))
            case "mean":
                parts.append(_sum(chosen) / len(chosen))
            case "max":
                parts.append(functools.reduce(jnp.maximum, chosen))
            case "mix":
                scalar_mix = next(mixes)
                parts.append(mix_layers(chosen, scalar_mix.weights, scalar_mix.gamma))
            case "mix_norm":
                scalar_mix = next(mixes)
                chosen = [
                    normalise_layer(layer, mask, norm_over, texts) for layer in chosen
                ]
                parts.append(mix_layers(chosen, scalar_mix.weights, scalar_mix.gamma))
    return jnp.concatenate(parts, axis=-1)


def _sum(layers: Sequence[Float[Array, "B T D"]]) -> Float[Array, "B T D"]:
    return functools.reduce(jnp.add, [layer.astype(jnp.float32) for layer in layers])


def mix_of_each_term(
    spec: LayerSpec, num_blocks: int, mix: ScalarMix | Sequence[ScalarMix] | None
) -> tuple[ScalarMix, ...]:
    """Return a `ScalarMix` for each mix term of a spec: those given, or new ones.

    Raises:
      ValueError: their number, or that of their weights, does not fit the spec.
    """
    sizes = spec.mix_sizes(num_blocks)
    if mix is None:
        return tuple(map(ScalarMix.init, sizes))
    mixes = (mix,) if isinstance(mix, ScalarMix) else tuple(mix)
    if len(mixes) != len(sizes):
        raise ValueError(
            f'layer_spec "{spec}" has {len(sizes)} mix terms and needs as many '
            f"ScalarMix, but {len(mixes)} were given"
        )
    for number, (given, size) in enumerate(zip(mixes, sizes, strict=True), start=1):
        shapes = jnp.shape(given.weights), jnp.shape(given.gamma)
        if shapes != ((size,), ()):
            raise ValueError(
                f'mix term {number} of layer_spec "{spec}" needs weights of shape '
                f"({size},) and gamma of shape (), not {shapes[0]} and {shapes[1]}"
            )
    return mixes
