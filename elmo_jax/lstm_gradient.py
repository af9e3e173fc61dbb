# SPDX-License-Identifier: Apache-2.0
"""The time loop of an LSTM with its gradient written out, for training.

Derived automatically, the gradient of the loop adds up a matrix as large as the weights
at every position. Written out, it stores the slopes of the gates, and the gradient of
each matrix is one product over all positions. See docs/decisions/lstm-training.md.
"""

from functools import partial
from typing import NamedTuple, no_type_check

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from elmo_jax.gates import FORGET_BIAS, clip, materialise, sigmoid
from embed_jax.devices.precision import precision


class Clips(NamedTuple):
    """Bounds of the cell's and of the projected values, or None."""

    cell: float | None
    projection: float | None


@no_type_check
class _Saved(NamedTuple):
    """What the way back needs of each position, time first.

    The gates, four fifths of it, are of the products' type: what becomes of them goes
    into products.
    """

    gates: Float[Array, "T B H4"]  # after their non-linearities
    cells: Float[Array, "T B H"]  # before, and what a restart left of it
    hiddens: Float[Array, "T B P"]
    new_cells: Float[Array, "T B H"]  # after the clip
    outputs: Float[Array, "T B P"]


@partial(jax.custom_vjp, nondiff_argnums=(6,))
def read_in_order(
    given: Float[Array, "T B H4"],
    cell: Float[Array, "B H"],
    hidden: Float[Array, "B P"],
    kept: Float[Array, "T B"],
    from_hidden: Float[Array, "P H4"],
    projection: Float[Array, "H P"] | None,
    clips: Clips,
) -> tuple[Float[Array, "T B P"], Float[Array, "B H"], Float[Array, "B P"]]:
    """Run over all positions.

    Args:
      given: the inputs' half of the gates, with the bias, float32.
      cell: the memory before the first position.
      hidden: the output before the first position.
      kept: 1 where the state is read as it is, 0 where zeros are in its place.
      from_hidden: the hidden state's half of the weights; its type is the products'.
      projection: from cell to output, or None.
      clips: bounds.

    Returns:
      The outputs, and the state after the last position.
    """
    outputs, cell, hidden, _ = _run(
        given, cell, hidden, kept, from_hidden, projection, clips
    )
    return outputs, cell, hidden


def _run(
    given: Array,
    cell: Array,
    hidden: Array,
    kept: Array,
    from_hidden: Array,
    projection: Array | None,
    clips: Clips,
) -> tuple[Array, Array, Array, _Saved]:
    def step(state: tuple[Array, Array], now: tuple[Array, Array]) -> tuple:
        given_now, kept_now = now
        cell, hidden = (part * kept_now[:, None] for part in state)
        gates = given_now + _dot(hidden, from_hidden)
        gates = _activate(gates)
        enter, candidate, forget, leave = jnp.split(gates, 4, axis=-1)
        new_cell = clip(forget * cell + enter * candidate, clips.cell)
        output = leave * jnp.tanh(new_cell)
        if projection is not None:
            new_cell, output = materialise((new_cell, output))
            output = clip(_dot(output, projection), clips.projection)
        saved = _Saved(gates.astype(from_hidden.dtype), cell, hidden, new_cell, output)
        return (new_cell, output), saved

    (cell, hidden), saved = jax.lax.scan(step, (cell, hidden), (given, kept))
    return saved.outputs, cell, hidden, saved


def _forward(
    given: Array,
    cell: Array,
    hidden: Array,
    kept: Array,
    from_hidden: Array,
    projection: Array | None,
    clips: Clips,
) -> tuple[tuple[Array, Array, Array], tuple]:
    outputs, cell, hidden, saved = _run(
        given, cell, hidden, kept, from_hidden, projection, clips
    )
    return (outputs, cell, hidden), (saved, kept, from_hidden, projection)


def _backward(clips: Clips, residuals: tuple, slopes: tuple) -> tuple:
    saved, kept, from_hidden, projection = residuals
    of_outputs, of_cell, of_hidden = slopes
    to_hidden = materialise(from_hidden.T)
    to_state = None if projection is None else materialise(projection.T)

    def step(later: tuple[Array, Array], now: tuple) -> tuple:
        of_cell, of_hidden = later
        of_output, kept_now, position = now
        of_output = of_state = of_output + of_hidden
        if to_state is not None:
            of_output = _pass(of_output, position.outputs, clips.projection)
            of_state = _dot(of_output, to_state)
        gates = position.gates.astype(jnp.float32)
        enter, candidate, forget, leave = jnp.split(gates, 4, axis=-1)
        squashed = jnp.tanh(position.new_cells)
        of_cell = of_cell + of_state * leave * (1 - squashed * squashed)
        of_cell = _pass(of_cell, position.new_cells, clips.cell)
        of_gates = jnp.concatenate(
            [
                of_cell * candidate * enter * (1 - enter),
                of_cell * enter * (1 - candidate * candidate),
                of_cell * position.cells * forget * (1 - forget),
                of_state * squashed * leave * (1 - leave),
            ],
            axis=-1,
        )
        of_gates = materialise(of_gates.astype(from_hidden.dtype))
        of_hidden = _dot(of_gates, to_hidden) * kept_now[:, None]
        of_cell = of_cell * forget * kept_now[:, None]
        return (of_cell, of_hidden), (of_gates, of_output)

    (of_cell, of_hidden), (of_gates, of_projected) = jax.lax.scan(
        step, (of_cell, of_hidden), (of_outputs, kept, saved), reverse=True
    )
    of_weights = _sum_of_products(saved.hiddens, of_gates, from_hidden.dtype)
    of_projection = None
    if projection is not None:
        leave = jnp.split(saved.gates, 4, axis=-1)[3].astype(jnp.float32)
        states = leave * jnp.tanh(saved.new_cells)
        of_projection = _sum_of_products(states, of_projected, projection.dtype)
    of_given = of_gates.astype(jnp.float32)
    return (of_given, of_cell, of_hidden, None, of_weights, of_projection)


read_in_order.defvjp(_forward, _backward)


def _activate(gates: Float[Array, "B H4"]) -> Float[Array, "B H4"]:
    """Squash the gates, in the order input, candidate, forget, output."""
    enter, candidate, forget, leave = jnp.split(gates, 4, axis=-1)
    parts = sigmoid(enter), jnp.tanh(candidate), sigmoid(forget + FORGET_BIAS)
    return jnp.concatenate([*parts, sigmoid(leave)], axis=-1)


def _pass(slope: Array, values: Array, bound: float | None) -> Array:
    """Let a slope through where a clip did not act."""
    return slope if bound is None else jnp.where(jnp.abs(values) < bound, slope, 0.0)


def _sum_of_products(
    left: Float[Array, "T B X"], right: Float[Array, "T B Y"], dtype: jnp.dtype
) -> Float[Array, "X Y"]:
    # Not flattened to one product of matrices: rows that are spread over devices do not
    # stay so where T and B become one axis, and would be sent to all of them.
    return jnp.einsum(
        "TBX,TBY->XY",
        left.astype(dtype),
        right.astype(dtype),
        precision=precision(dtype),
        preferred_element_type=jnp.float32,
    ).astype(dtype)


def _dot(left: Array, right: Array) -> Array:
    return jnp.dot(
        left.astype(right.dtype),
        right,
        precision=precision(right.dtype),
        preferred_element_type=jnp.float32,
    )
