# SPDX-License-Identifier: Apache-2.0
"""Fused attention for short rows as a Pallas TPU kernel; scores stay in VMEM.

Plain attention moves the scores of all pairs of tokens to HBM and back about eight
times a step, more than all other traffic in rows of 512. All scores of a BERT row fit
in VMEM, so no online softmax (Dao et al. 2022) is needed. The backward pass recomputes
them.

Operands are `[B, T, D]`, with the heads side by side as in the projections. A program
of the grid takes some rows and as many heads as fill the 128 lanes.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import AbstractMesh, AxisType, PartitionSpec
from jaxtyping import Array, Float, Int, UInt

from bert_jax.dropout import keeps
from embed_jax.devices.any_mesh import mesh_of
from embed_jax.devices.precision import precision

# Finite, so that a row of nothing but padding yields no NaN; exp() of it is zero.
MASKED = -1e30

LANES = 128
LONGEST = 512
"""Maximal row length; the scores of longer rows do not fit in VMEM."""
# Tokens of a program: enough work to hide what starting one costs.
_TOKENS = 1024


class Form(NamedTuple):
    """The static settings of a kernel.

    Attributes:
      head_dim: columns of a head.
      packed: whether rows hold several texts, each attending only to itself.
      rate: of dropout.
      interpret: run in Pallas's interpreter, on any device, for tests.
    """

    head_dim: int
    packed: bool
    rate: float
    interpret: bool = False


def fits(length: int, width: int, head_dim: int) -> bool:
    """Return whether the kernel supports rows of this length and width.

    Example:
      >>> fits(128, 768, 64), fits(100, 768, 64), fits(1024, 768, 64)
      (True, False, False)
    """
    return (
        length % LANES == 0
        and length <= LONGEST
        and width % LANES == 0
        and (LANES % head_dim == 0 or head_dim % LANES == 0)
    )


def divides(mesh: AbstractMesh, num_rows: int) -> bool:
    """Return whether the rows of a batch can be divided among the devices of a mesh.

    XLA partitions the operations of JAX by itself, but not a kernel: each device runs
    it on an equal share of the rows, whichever axes the mesh has.

    Args:
      mesh: of the computation; empty for one device, where there is but one.
      num_rows: of the batch.
    """
    if mesh.empty:
        return jax.device_count() == 1
    is_auto = all(kind == AxisType.Auto for kind in mesh.axis_types)
    return is_auto and num_rows % mesh.size == 0


def fused_attention(
    query: Float[Array, "B T D"],
    key: Float[Array, "B T D"],
    value: Float[Array, "B T D"],
    sequences: Int[Array, "B T"],
    seeds: UInt[Array, "B 2"],
    form: Form,
) -> Float[Array, "B T D"]:
    """Compute attention, with the heads side by side in the last axis.

    Args:
      query: of every token; not scaled.
      key: of every token.
      value: of every token.
      sequences: 0 at padding, which no token attends to; if the form is packed, tokens
        attend only to tokens of the same number.
      seeds: of dropout, see `bert_jax.dropout`.
      form: the kernel's settings; the shape must be supported, see `fits`.

    Returns:
      The weighted values, as of `SelfAttention.attend`, in the values' dtype.
    """
    mesh = mesh_of(query)
    attend = partial(_attend, form)
    if mesh.size > 1:
        rows = PartitionSpec(mesh.axis_names)
        attend = jax.shard_map(
            attend, mesh=mesh, in_specs=rows, out_specs=rows, check_vma=False
        )
    return attend(query, key, value, sequences, seeds.view(jnp.int32))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(
    form: Form, query: Array, key: Array, value: Array, sequences: Array, seeds: Array
) -> Array:
    call = _call(_forward, form, query, num_inputs=3, num_outputs=1, num_products=2)
    return call(seeds.reshape(-1), sequences[:, None], query, key, value)[0]


def _attend_forward(form: Form, *operands: Array) -> tuple[Array, tuple]:
    return _attend(form, *operands), operands


def _attend_backward(form: Form, operands: tuple, change: Array) -> tuple:
    query, key, value, sequences, seeds = operands
    call = _call(_backward, form, query, num_inputs=4, num_outputs=3, num_products=5)
    changes = call(seeds.reshape(-1), sequences[:, None], query, key, value, change)
    # Integers have no gradient.
    nothing = [np.zeros(x.shape, jax.dtypes.float0) for x in (sequences, seeds)]
    return *changes, *nothing


_attend.defvjp(_attend_forward, _attend_backward)


def _call(
    kernel: Any,
    form: Form,
    like: Array,
    *,
    num_inputs: int,
    num_outputs: int,
    num_products: int,
) -> Any:
    """Make the `pallas_call` of a kernel for operands of a shape."""
    B, T, D = like.shape
    columns = max(form.head_dim, LANES)
    rows = max(count for count in range(1, B + 1) if B % count == 0 and _few(count, T))
    block = pl.BlockSpec((rows, T, columns), lambda row, head, _: (row, 0, head))
    of_row = pl.BlockSpec((rows, 1, T), lambda row, *_: (row, 0, 0))
    pairs = B * (D // form.head_dim) * T * T
    return pl.pallas_call(
        partial(kernel, form),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,  # the seeds
            grid=(B // rows, D // columns),
            in_specs=[of_row] + [block] * num_inputs,
            out_specs=[block] * num_outputs,
        ),
        out_shape=[jax.ShapeDtypeStruct(like.shape, like.dtype)] * num_outputs,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel")
        ),
        # The compiler cannot see into a kernel; this is what it is told.
        cost_estimate=pl.CostEstimate(
            flops=2 * num_products * pairs * form.head_dim,
            bytes_accessed=(num_inputs + num_outputs) * like.size * like.dtype.itemsize,
            transcendentals=pairs,
        ),
        interpret=form.interpret,
    )


def _few(rows: int, length: int) -> bool:
    return rows == 1 or rows * length <= _TOKENS


def _forward(form: Form, seeds: Any, sequences: Any, *blocks: Any) -> None:
    """Compute attention for the rows and heads of a program's blocks."""
    *inputs, output = blocks
    coins_of = _coins_of(form, seeds, output.shape)

    def of_row(row: Any, _: None) -> None:
        seen = _seen(form, sequences[row])
        heads = []
        for number, (query, key, value) in _heads(form, row, inputs):
            softmax = _softmax(form, query, key, seen, coins_of(row, number))
            product = _product(softmax.dropped.astype(value.dtype), value, (1, 0))
            heads.append(product / softmax.total)
        output[row] = jnp.concatenate(heads, axis=1).astype(output.dtype)

    jax.lax.fori_loop(0, output.shape[0], of_row, None)


def _backward(form: Form, seeds: Any, sequences: Any, *blocks: Any) -> None:
    """Compute the gradients of queries, keys and values from that of the output."""
    inputs, outputs = blocks[:4], blocks[4:]
    coins_of = _coins_of(form, seeds, outputs[0].shape)
    scale = form.head_dim**-0.5

    def of_row(row: Any, _: None) -> None:
        seen = _seen(form, sequences[row])
        heads = []
        for number, (query, key, value, change) in _heads(form, row, inputs):
            dtype, coins = value.dtype, coins_of(row, number)
            softmax = _softmax(form, query, key, seen, coins)
            change = change.astype(jnp.float32) / softmax.total
            of_value = _product(
                softmax.dropped.astype(dtype), change.astype(dtype), (0, 0)
            )
            of_dropped = _product(change.astype(dtype), value, (1, 1))
            along = jnp.sum(softmax.dropped * of_dropped, axis=1, keepdims=True)
            of_unnormalised = _drop(form, of_dropped, coins) - along / softmax.total
            of_scores = softmax.unnormalised * of_unnormalised
            of_scores = of_scores.astype(dtype)
            of_query = _product(of_scores, key, (1, 0)) * scale
            of_key = _product(of_scores, query * scale, (0, 0))
            heads.append((of_query, of_key, of_value))
        for output, parts in zip(outputs, zip(*heads, strict=True), strict=True):
            output[row] = jnp.concatenate(parts, axis=1).astype(output.dtype)

    jax.lax.fori_loop(0, outputs[0].shape[0], of_row, None)


class _Softmax(NamedTuple):
    """The softmax of one head of one row.

    Attributes:
      unnormalised: exponentials of the scores `[T, T]`.
      dropped: the same after dropout.
      total: their sum, before dropout `[T, 1]`.
    """

    unnormalised: Array
    dropped: Array
    total: Array


def _softmax(
    form: Form, query: Array, key: Array, seen: Array, coins: Array | None
) -> _Softmax:
    scores = _product(query * form.head_dim**-0.5, key, (1, 1))
    scores = jnp.where(seen, scores, MASKED)
    unnormalised = jnp.exp(scores - scores.max(axis=1, keepdims=True))
    total = unnormalised.sum(axis=1, keepdims=True)
    return _Softmax(unnormalised, _drop(form, unnormalised, coins), total)


def _drop(form: Form, values: Array, coins: Array | None) -> Array:
    return values if coins is None else jnp.where(coins, values / (1 - form.rate), 0.0)


def _heads(form: Form, row: Any, blocks: Sequence[Any]) -> Any:
    """Yield the heads of a row of a program's blocks, with their numbers."""
    columns = blocks[0].shape[-1]
    whole = [block[row] for block in blocks]
    for number in range(columns // form.head_dim):
        part = slice(number * form.head_dim, (number + 1) * form.head_dim)
        yield number, [block[:, part] for block in whole]


def _seen(form: Form, sequences: Array) -> Array:
    """Return the mask `[T, T]`: whether each query attends to each key."""
    length = sequences.shape[-1]
    of_key = jnp.broadcast_to(sequences, (length, length))
    seen = of_key > 0
    return seen & (of_key == of_key.T) if form.packed else seen


def _coins_of(form: Form, seeds: Any, shape: tuple[int, ...]) -> Any:
    """Return a function that gives the dropout mask of a row and head.

    The mask is that of `bert_jax.dropout.drop` for scores `[B, N, T, T]` and the seeds.
    """
    rows, length, columns = shape
    first_row = pl.program_id(0) * rows
    first_head = pl.program_id(1) * (columns // form.head_dim)

    def coins(row: Any, number: int) -> Array | None:
        if not form.rate:
            return None
        at = 2 * (first_row + row)
        seed = seeds[at].astype(jnp.uint32), seeds[at + 1].astype(jnp.uint32)
        pair = (length, length)
        query = jax.lax.broadcasted_iota(jnp.int32, pair, 0)
        key = jax.lax.broadcasted_iota(jnp.int32, pair, 1)
        place = ((first_head + number) * length + query) * length + key
        return keeps(seed, place.astype(jnp.uint32), form.rate)

    return coins


def _product(left: Array, right: Array, contracted: tuple[int, int]) -> Array:
    return jax.lax.dot_general(
        left,
        right,
        (((contracted[0],), (contracted[1],)), ((), ())),
        precision=precision(left.dtype),
        preferred_element_type=jnp.float32,
    )
