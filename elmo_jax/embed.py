# SPDX-License-Identifier: Apache-2.0
"""Computing vectors of tokens: all layers, or those that a `layer_spec` selects."""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from elmo_jax.bilm import BiLm, BiLmOutput, Carry, zero_carry
from elmo_jax.config import NUM_CHARACTERS, ElmoConfig
from elmo_jax.params import ElmoParams
from elmo_jax.tokens import BEGIN, END, ElmoTokens
from embed_jax.arguments import check_kind, names_errors, needs
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.devices.platform import target_platform
from embed_jax.devices.precision import float_dtype
from embed_jax.layers.layer_spec import LayerSpec
from embed_jax.layers.select import Mix, Specs, pair_mixes, select_each
from embed_jax.tokens import check_batch, check_range


@on_any_mesh(BiLmOutput(*cast(Any, ("B T D", "B H", "D"))))
def apply_bilm(
    params: ElmoParams,
    tokens: ElmoTokens,
    *,
    carry: Carry | None = None,
    highest_layer: int | None = None,
    dtype: DTypeLike = jnp.float32,
    dropout_key: jax.Array | None = None,
) -> BiLmOutput:
    """Run the biLM, for use inside another computation (not jitted itself).

    Args:
      params: encoder weights and config.
      tokens: the batch; rows may hold several sentences each, end to end.
      carry: the states before each row, at its left end forward and its right end
        backward, used unless a sentence starts there.
      highest_layer: LSTM layers above it are not run; by default all are.
      dtype: of the products; float32 or bfloat16. States and layers are float32.
      dropout_key: a `jax.random.key` turns dropout on, for training.

    Returns:
      Layers 0 to `highest_layer`, the states after the rows, and each layer's output at
      the boundary before a sentence.

    Raises:
      ValueError: as `encode`.
    """
    check_tokens(params, tokens)
    hoist = target_platform() != "cpu"
    output = BiLm(params.config, jnp.dtype(dtype), hoist=hoist).apply(
        {"params": params.encoder},
        ElmoTokens(*map(jnp.asarray, tokens)),
        carry=carry,
        start=params.start,
        highest_layer=highest_layer,
        deterministic=dropout_key is None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
    return cast(BiLmOutput, output)


@needs("params", "tokens")
@names_errors
def encode(
    params: ElmoParams, tokens: ElmoTokens, *, dtype: DTypeLike = jnp.float32
) -> Float[Array, "B L T D"]:
    """Compute every layer; layer 0, context-free, is the word vector repeated twice.

    Args:
      params: what `load` or `init_params` gave.
      tokens: what the tokeniser gave.
      dtype: of the products; float32 or bfloat16.

    Returns:
      All layers, float32, forward and backward concatenated; values at padding are
      undefined.

    Raises:
      ValueError: (for NumPy tokens) types that the model cannot read.
    """
    check_tokens(params, tokens)
    return _encode(params, tokens, float_dtype("dtype", dtype))


@partial(jax.jit, static_argnums=2)
@on_any_mesh("B L T D")
def _encode(
    params: ElmoParams, tokens: ElmoTokens, dtype: jnp.dtype
) -> Float[Array, "B L T D"]:
    return jnp.stack(apply_bilm(params, tokens, dtype=dtype).layers, axis=1)


@needs("params", "tokens")
@names_errors
def embed(
    params: ElmoParams,
    tokens: ElmoTokens,
    layer_spec: Specs = "last",
    *,
    mix: Mix | tuple[Mix, ...] = None,
    carry: Carry | None = None,
    dtype: DTypeLike = jnp.float32,
) -> Any:
    """Compute contextual vectors: the layers of `layer_spec`, combined.

    Stateless unless a `carry` is given: a sentence always has the same vectors. Jitted;
    layers above the highest selected one are not run. Differentiable in `params`, `mix`
    and `carry`.

    Args:
      params: what `load` or `init_params` gave.
      tokens: what the tokeniser gave; one compilation for each combination of shapes.
      layer_spec: the layers and their combination, see `embed_jax.layers.layer_spec`;
        a tuple of specs gives a tuple of results from one run.
      mix: the learnable `ScalarMix` of a `mix(…)`; several in a tuple, one a mix term
        in order. For a tuple of specs, a tuple with one entry a spec. By default zero
        weights and a gamma of one.
      carry: for stateful embedding, as in bilm-tf: row b starts from the final state of
        row b of the previous batch, and boundaries are read as tokens. Start with
        `zero_carry`. Each row must hold one sentence. Vectors then depend on all
        previous batches.
      dtype: of the products; float32 or bfloat16. float32 products are exact on every
        device.

    Returns:
      Float32 vectors `[B T width]`, zero at padding; with a carry, a pair of that and
      the carry for the next batch.

    Raises:
      ValueError: a malformed spec, a layer that the model lacks, a carry of another
        batch size, or (for NumPy tokens) types that the model cannot read.

    Example:
      >>> import elmo_jax, jax
      >>> params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
      >>> tokens = elmo_jax.ElmoTokenizer(elmo_jax.TINY)([["a", "bank"], ["river"]])
      >>> embed(params, tokens, "concat(last,embeddings)").shape
      (2, 2, 64)
      >>> vectors, carry = embed(params, tokens, carry=zero_carry(params.config, 2))
      >>> vectors.shape
      (2, 2, 32)
    """
    check_tokens(params, tokens)
    several = isinstance(layer_spec, tuple)
    specs, mixes = pair_mixes(layer_spec, mix)
    dtype = float_dtype("dtype", dtype)
    if carry is None:
        vectors = _embed(params, tokens, specs, mixes, dtype)
        return vectors if several else vectors[0]
    _check_carry(params.config, tokens, carry)
    vectors, carry = _embed_on(params, tokens, carry, specs, mixes, dtype)
    return (vectors if several else vectors[0]), carry


@partial(jax.jit, static_argnums=(2, 4))
@on_any_mesh("B T D")
def _embed(
    params: ElmoParams,
    tokens: ElmoTokens,
    specs: tuple[LayerSpec, ...],
    mixes: tuple[Mix, ...],
    dtype: jnp.dtype,
) -> tuple[Float[Array, "B T _"], ...]:
    return compute_vectors(params, tokens, specs, mixes, dtype)[0]


@partial(jax.jit, static_argnums=(3, 5))
@on_any_mesh(("B T D", "B H"))
def _embed_on(
    params: ElmoParams,
    tokens: ElmoTokens,
    carry: Carry,
    specs: tuple[LayerSpec, ...],
    mixes: tuple[Mix, ...],
    dtype: jnp.dtype,
) -> tuple[tuple[Float[Array, "B T _"], ...], Carry]:
    with_boundaries = insert_boundaries(tokens)
    # Every layer must run for its state, asked for or not.
    num_blocks = params.config.num_blocks
    output = apply_bilm(params, with_boundaries, carry=carry, dtype=dtype)
    layers = [layer[:, 1:-1] for layer in output.layers]
    mask = jnp.asarray(tokens.mask)
    vectors = select_each(layers, specs, mixes, num_blocks, mask)
    return vectors, output.carry


def compute_vectors(
    params: ElmoParams,
    tokens: ElmoTokens,
    specs: tuple[LayerSpec, ...],
    mixes: tuple[Mix, ...],
    dtype: jnp.dtype,
    *,
    carry: Carry | None = None,
    norm_over: str = "batch",
) -> tuple[tuple[Float[Array, "B T _"], ...], Carry]:
    """Run the needed layers and select by the specs; called by jitted functions."""
    num_blocks = params.config.num_blocks
    highest = max(spec.highest_layer(num_blocks) for spec in specs)
    output = apply_bilm(params, tokens, carry=carry, highest_layer=highest, dtype=dtype)
    mask = jnp.asarray(tokens.mask)
    vectors = select_each(output.layers, specs, mixes, num_blocks, mask, norm_over)
    return vectors, output.carry


def insert_boundaries(tokens: ElmoTokens) -> ElmoTokens:
    """Insert the boundaries as tokens, for states that continue across sentences.

    Args:
      tokens: one sentence a row, padded on the right.

    Returns:
      Rows that are two positions longer, without starts and ends.
    """
    mask = jnp.asarray(tokens.mask)
    B, T = mask.shape
    lengths = jnp.sum(mask, axis=1, keepdims=True)
    positions = jnp.arange(T + 2)[None]
    words = jnp.pad(jnp.asarray(tokens.words), ((0, 0), (1, 1)))
    words = jnp.where(positions == 0, BEGIN, words)
    words = jnp.where(positions == lengths + 1, END, words)
    nowhere = jnp.zeros((B, T + 2), bool)
    return ElmoTokens(
        types=tokens.types,
        words=words,
        mask=positions < lengths + 2,
        starts=nowhere,
        ends=nowhere,
    )


def check_tokens(params: ElmoParams, tokens: ElmoTokens) -> None:
    """Check that the types are valid for the model.

    XLA would silently clamp an index out of range and return a wrong vector.

    Raises:
      ValueError: characters for a word table or the reverse, vectors of another width,
        or, for NumPy tokens, a number out of range; or the arguments are of other
        kinds.
    """
    check_kind("params", params, ElmoParams, "pass params, tokens, in this order")
    check_batch(tokens, ElmoTokens)
    _check_types(params.config, tokens.types)
    check_range("words", tokens.words, tokens.types.shape[0], "the model knows")


def _check_types(config: ElmoConfig, types: Any) -> None:
    if jnp.issubdtype(types.dtype, jnp.floating):
        if np.shape(types)[1:] != (config.projection_dim,):
            raise ValueError(
                f"types of shape {list(np.shape(types))} are vectors of another width "
                f"than the model's {config.projection_dim}"
            )
        return
    reads_characters = config.char_cnn is not None
    if (np.ndim(types) == 2) != reads_characters:
        raise ValueError(
            f"types of shape {list(np.shape(types))}, but the model reads words "
            f"by their {'characters' if reads_characters else 'row in its table'}; use "
            "the tokeniser that belongs to it"
        )
    if config.char_cnn and types.shape[1] < config.char_cnn.max_width:
        raise ValueError(
            f"{types.shape[1]} characters a word are less than the widest "
            f"filter, {config.char_cnn.max_width}; use the tokeniser of the model"
        )
    size = NUM_CHARACTERS + 1 if reads_characters else config.vocab_size
    check_range("types", types, size, "the model knows")


def _check_carry(config: ElmoConfig, tokens: ElmoTokens, carry: Carry) -> None:
    num_rows = tokens.words.shape[0]
    expected = jax.tree.map(
        jnp.shape, jax.eval_shape(lambda: zero_carry(config, num_rows))
    )
    if jax.tree.map(jnp.shape, carry) != expected:
        raise ValueError(
            f"the carry is not that of {num_rows} rows of this model; begin with "
            f"zero_carry(params.config, {num_rows}), and keep the number of rows"
        )
