# SPDX-License-Identifier: Apache-2.0
"""Computing vectors of tokens: all layers, or those that a `layer_spec` selects."""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from bert_jax.encoder import Encoder
from bert_jax.params import BertParams
from bert_jax.tokens import BertTokens
from embed_jax.arguments import check_kind, names_errors, needs
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.devices.precision import float_dtype
from embed_jax.layers.layer_spec import LayerSpec
from embed_jax.layers.select import Mix, Specs, pair_mixes, select_each
from embed_jax.tokens import check_batch, check_range


@on_any_mesh("B T D")
def apply_encoder(
    params: BertParams,
    tokens: BertTokens,
    *,
    positions: Int[Any, "B T"] | None = None,
    highest_layer: int | None = None,
    dtype: DTypeLike = jnp.float32,
    dropout_key: jax.Array | None = None,
) -> tuple[Float[Array, "B T D"], ...]:
    """Run the encoder, for use inside another computation (not jitted itself).

    Args:
      params: encoder weights and config.
      tokens: the batch.
      positions: rows of the position table; by default 0, 1, 2, … in every row.
      highest_layer: blocks above it are not run; by default all are.
      dtype: of the computation; float32 or bfloat16.
      dropout_key: a `jax.random.key` turns dropout on, for training.

    Returns:
      Layers 0 to `highest_layer`, one array each. Values at padding are undefined.

    Raises:
      ValueError: as `encode`.
    """
    check_tokens(params, tokens)
    if tokens.ids.shape[-1] == 0:
        # Attention takes the largest score of a row, and there is none.
        nothing = jnp.zeros((*tokens.ids.shape, params.config.layer_dim), dtype)
        highest = params.config.num_blocks if highest_layer is None else highest_layer
        return (nothing,) * (highest + 1)
    layers = Encoder(params.config, jnp.dtype(dtype)).apply(
        {"params": params.encoder},
        *map(jnp.asarray, (tokens.ids, tokens.segment_ids, tokens.mask)),
        positions=None if positions is None else jnp.asarray(positions),
        highest_layer=highest_layer,
        deterministic=dropout_key is None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return cast(tuple[Float[Array, "B T D"], ...], layers)


@needs("params", "tokens")
@names_errors
def encode(
    params: BertParams, tokens: BertTokens, *, dtype: DTypeLike = jnp.float32
) -> Float[Array, "B L T D"]:
    """Compute every layer, the context-free one first.

    Args:
      params: what `load` or `init_params` gave.
      tokens: what the tokeniser gave.
      dtype: of the computation and the result.

    Returns:
      All layers; values at padding are undefined.

    Raises:
      ValueError: a row longer than the position table or (for NumPy tokens) an id
        outside the vocabulary.
    """
    check_tokens(params, tokens)
    return _encode(params, tokens, float_dtype("dtype", dtype))


@partial(jax.jit, static_argnums=2)
@on_any_mesh("B L T D")
def _encode(
    params: BertParams, tokens: BertTokens, dtype: jnp.dtype
) -> Float[Array, "B L T D"]:
    return jnp.stack(apply_encoder(params, tokens, dtype=dtype), axis=1)


@needs("params", "tokens")
@names_errors
def embed(
    params: BertParams,
    tokens: BertTokens,
    layer_spec: Specs = "last",
    *,
    mix: Mix | tuple[Mix, ...] = None,
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "B T D"] | tuple[Float[Array, "B T D"], ...]:
    """Compute contextual vectors: the layers of `layer_spec`, combined.

    Jitted; layers above the highest selected one are not run. Differentiable in
    `params` and in `mix`.

    Args:
      params: what `load` or `init_params` gave.
      tokens: what the tokeniser gave; one compilation a shape `[B T]`.
      layer_spec: the layers and their combination, see `embed_jax.layers.layer_spec`;
        a tuple of specs gives a tuple of results from one run.
      mix: the learnable `ScalarMix` of a `mix(…)`; several in a tuple, one a mix term
        in order. For a tuple of specs, a tuple with one entry a spec. By default zero
        weights and a gamma of one.
      dtype: of the computation; float32 or bfloat16. float32 products are exact on
        every device.

    Returns:
      Vectors `[B T width]`; values at padding are undefined.

    Raises:
      ValueError: a malformed spec, a layer that the model lacks, a row longer than the
        position table, or (for NumPy tokens) an id outside the vocabulary.

    Example:
      >>> import bert_jax, jax, numpy as np
      >>> params = bert_jax.init_params(jax.random.key(0), bert_jax.TINY)
      >>> ids = np.arange(12, dtype=np.int32).reshape(2, 6)
      >>> tokens = BertTokens(ids, 0 * ids, ids >= 0, ids, ids >= 0)
      >>> embed(params, tokens, "concat(last,embeddings)").shape
      (2, 6, 64)
    """
    check_tokens(params, tokens)
    specs, mixes = pair_mixes(layer_spec, mix)
    dtype = float_dtype("dtype", dtype)
    found = _embed(params, tokens, specs, mixes, dtype)
    return found if isinstance(layer_spec, tuple) else found[0]


@partial(jax.jit, static_argnums=(2, 4))
@on_any_mesh("B T D")
def _embed(
    params: BertParams,
    tokens: BertTokens,
    specs: tuple[LayerSpec, ...],
    mixes: tuple[Mix, ...],
    dtype: jnp.dtype,
) -> tuple[Float[Array, "B T _"], ...]:
    return compute_vectors(params, tokens, specs, mixes, dtype)


def compute_vectors(
    params: BertParams,
    tokens: BertTokens,
    specs: tuple[LayerSpec, ...],
    mixes: tuple[Mix, ...],
    dtype: jnp.dtype,
    norm_over: str = "batch",
    selected: Bool[Array, "B T"] | None = None,
) -> tuple[Float[Array, "B T _"], ...]:
    """Run the needed layers and select by the specs; called by jitted functions.

    Args:
      params: encoder weights and config.
      tokens: the batch.
      specs: the layers and their combinations.
      mixes: of each spec.
      dtype: of the computation.
      norm_over: the scope of a `mix_norm`.
      selected: the positions to select and to normalise over; by default those that
        are no padding.
    """
    num_blocks = params.config.num_blocks
    highest = max(spec.highest_layer(num_blocks) for spec in specs)
    layers = apply_encoder(params, tokens, highest_layer=highest, dtype=dtype)
    mask = tokens.mask if selected is None else selected
    return select_each(layers, specs, mixes, num_blocks, mask, norm_over)


def check_tokens(params: BertParams, tokens: BertTokens) -> None:
    """Check that token ids are within the model's embedding tables.

    XLA would silently clamp an index out of range and return a wrong vector.

    Raises:
      ValueError: the row is too long or, for NumPy tokens, an id is out of range; or
        the arguments are of other kinds.
    """
    check_kind("params", params, BertParams, "pass params, tokens, in this order")
    check_batch(tokens, BertTokens)
    config = params.config
    length = tokens.ids.shape[-1]
    if length > config.max_positions:
        raise ValueError(
            f"{length} tokens a row, but the model has {config.max_positions} "
            "positions; let embed_words split long input, or truncate it"
        )
    tables = (
        ("ids", tokens.ids, config.vocab_size),
        ("segment_ids", tokens.segment_ids, config.num_segments),
    )
    for name, values, size in tables:
        check_range(name, values, size, "the model's table has rows")
