# SPDX-License-Identifier: Apache-2.0
"""An LSTM layer as a scan over time with a custom gradient.

The cell is TensorFlow's `LSTMCell`: gates in the order input, candidate, forget,
output; one added to the forget gate; the cell state clipped, then the projection.

Automatic differentiation of the scan would accumulate the gradient of the weight
matrices at every position. The custom gradient stores the gradients of the gates, and
then computes the gradient of each matrix by one product over all positions. Without
differentiation nothing is stored for the backward pass. See
docs/decisions/lstm-speed.md and lstm-training.md.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, no_type_check

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from embed_jax.devices.any_mesh import varying_alike
from embed_jax.devices.materialise import materialise
from embed_jax.devices.precision import dot, precision
from embed_jax.equality import equal_by_value

FORGET_BIAS = 1.0  # added when run, in no published bias


@equal_by_value
@no_type_check  # jax also builds such trees of shapes, shardings and axes.
class LstmState(NamedTuple):
    """The state of an LSTM layer, float32.

    Attributes:
      cell: the cell state.
      hidden: the last output, projected, before any skip connection.
    """

    cell: Float[Array, "*B H"]
    hidden: Float[Array, "*B P"]


@no_type_check
class GatesByType(NamedTuple):
    """The input part of the gates, computed once for each distinct word.

    Attributes:
      table: one row a distinct word (type), with the bias, float32.
      words: for each position the index of its type.
    """

    table: Float[Array, "U H4"]
    words: Int[Array, "T B"]


@no_type_check
class InputVectors(NamedTuple):
    """Inputs that are multiplied in the loop, in one product with the hidden state.

    Attributes:
      vectors: one a position, of the dtype of the products.
      bias: of the gates, float32.
    """

    vectors: Float[Array, "T B D"]
    bias: Float[Array, " H4"]


def recur(
    inputs: Float[Array, "T B H4"] | GatesByType | InputVectors,
    kernel: Float[Array, "rows H4"],
    projection: Float[Array, "H P"] | None,
    state: LstmState,
    *,
    restart: Bool[Array, "T B"] | None = None,
    restart_state: LstmState | None = None,
    real: Bool[Array, "T B"] | None = None,
    cell_clip: float | None = None,
    projection_clip: float | None = None,
    reverse: bool = False,
) -> tuple[Float[Array, "T B P"], LstmState]:
    """Run an LSTM layer over all positions; arrays are time-major.

    Differentiable in all floating-point arrays, in reverse mode only.

    Args:
      inputs: the input part of the gates with the bias, float32, or a form that gives
        it.
      kernel: the weights of the hidden state, P rows; for `InputVectors` the weights of
        the inputs come before them. Its dtype is that of the products.
      projection: from cell to output, of the products' dtype; None for no projection.
      state: before the first position that is read.
      restart: True at positions before which `restart_state` replaces the state.
      restart_state: of a batch of one; zeros where None.
      real: True at positions that change the state; all where None.
      cell_clip: bound of the cell state, or None.
      projection_clip: bound of the projected values, or None.
      reverse: whether to read the last position first.

    Returns:
      The outputs, float32, and the state after the last position.
    """
    given = _Given(inputs, kernel, projection, state, restart, restart_state, real)
    return _recur(varying_alike(given), _Settings(cell_clip, projection_clip, reverse))


class _Settings(NamedTuple):
    cell_clip: float | None
    projection_clip: float | None
    reverse: bool


@no_type_check
class _Given(NamedTuple):
    inputs: Array | GatesByType | InputVectors
    kernel: Float[Array, "rows H4"]
    projection: Float[Array, "H P"] | None
    state: LstmState
    restart: Bool[Array, "T B"] | None
    restart_state: LstmState | None
    real: Bool[Array, "T B"] | None


@no_type_check
class _Saved(NamedTuple):
    """Values of each position saved for the backward pass, time-major.

    The gates, four fifths of them, are of the products' dtype, because the gradients
    computed from them go into products.
    """

    gates: Float[Array, "T B H4"]  # after their non-linearities
    before: LstmState  # what a restart left of it
    memory: Float[Array, "T B H"]  # after the clip


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _recur(given: _Given, settings: _Settings) -> tuple[Array, LstmState]:
    return _run(given, settings, saves=False)[0]


def _run(
    given: _Given, settings: _Settings, *, saves: bool
) -> tuple[tuple[Array, LstmState], _Saved | None]:
    kernel, projection = given.kernel, given.projection
    inputs, gates_of = _divide(given.inputs, kernel)

    def step(before: LstmState, now: tuple) -> tuple[LstmState, tuple]:
        of_input, restart_now, real_now = now
        if restart_now is not None:
            before = _choose(restart_now, given.restart_state, before)
        gates = _squash(gates_of(of_input, before.hidden))
        if saves:
            # Kept, or XLA:CPU squashes them again wherever they are read.
            gates = materialise(gates)
        enter, candidate, forget, leave = gates
        memory = _clip(forget * before.cell + enter * candidate, settings.cell_clip)
        hidden = leave * jnp.tanh(memory)
        if projection is not None:
            memory, hidden = materialise((memory, hidden))
            hidden = _clip(dot(hidden, projection), settings.projection_clip)
        state = LstmState(memory, hidden)
        if real_now is not None:
            state = _choose(real_now, state, before)
        saved = None
        if saves:
            kept = jnp.concatenate(gates, axis=-1).astype(kernel.dtype)
            saved = _Saved(kept, before, memory)
        return state, (state.hidden, saved)

    state, (outputs, saved) = jax.lax.scan(
        step, given.state, (inputs, given.restart, given.real), reverse=settings.reverse
    )
    return (outputs, state), saved


def _divide(
    inputs: Array | GatesByType | InputVectors, kernel: Array
) -> tuple[Array, Callable[[Array, Array], Array]]:
    """Return the arrays to scan over, and a function that computes gates `[B 4H]`.

    Its arguments are an element of the arrays and the hidden state.
    """
    if isinstance(inputs, GatesByType):

        def look_up(words: Array, hidden: Array) -> Array:
            return materialise(inputs.table[words]) + dot(hidden, kernel)

        return inputs.words, look_up
    if isinstance(inputs, InputVectors):

        def multiply(vectors: Array, hidden: Array) -> Array:
            both = [vectors, hidden.astype(kernel.dtype)]
            both = materialise(jnp.concatenate(both, axis=-1))
            return dot(both, kernel) + inputs.bias[None]

        return inputs.vectors, multiply
    return inputs, lambda given, hidden: given + dot(hidden, kernel)


def _forward(
    given: _Given, settings: _Settings
) -> tuple[tuple[Array, LstmState], tuple]:
    results, saved = _run(given, settings, saves=True)
    inputs = given.inputs
    if isinstance(inputs, GatesByType):
        # Of the table its length is enough.
        inputs = inputs._replace(table=inputs.table[:, :0])
    elif not isinstance(inputs, InputVectors):
        inputs = None
    given = given._replace(inputs=inputs, state=None)
    return results, (given, saved, results[0])


def _backward(
    settings: _Settings,
    residuals: tuple[_Given, _Saved, Array],
    slopes: tuple[Array, LstmState],
) -> tuple[_Given]:
    given, saved, outputs = residuals
    of_outputs, of_state = slopes
    to_hidden = materialise(given.kernel[-outputs.shape[-1] :].T)
    projection = given.projection
    to_memory = None if projection is None else materialise(projection.T)
    of_restart = None
    if given.restart_state is not None:
        # Of each row, and summed at the end: rows may be spread over devices.
        of_restart = jax.tree.map(jnp.zeros_like, of_state)

    def step(later: tuple, now: tuple) -> tuple[tuple, tuple]:
        of_state, of_restart = later
        of_output, output, restart_now, real_now, position = now
        of_state = of_state._replace(hidden=of_state.hidden + of_output)
        of_skipped = None
        if real_now is not None:
            of_skipped = _choose(real_now, None, of_state)
            of_state = _choose(real_now, of_state, None)
        of_output = of_squashed = of_state.hidden
        if to_memory is not None:
            of_output = _pass(of_output, output, settings.projection_clip)
            of_squashed = dot(of_output, to_memory)
        gates = position.gates.astype(jnp.float32)
        enter, candidate, forget, leave = jnp.split(gates, 4, axis=-1)
        squashed = jnp.tanh(position.memory)
        of_memory = of_state.cell + of_squashed * leave * (1 - squashed * squashed)
        of_memory = _pass(of_memory, position.memory, settings.cell_clip)
        of_gates = jnp.concatenate(
            [
                of_memory * candidate * enter * (1 - enter),
                of_memory * enter * (1 - candidate * candidate),
                of_memory * position.before.cell * forget * (1 - forget),
                of_squashed * squashed * leave * (1 - leave),
            ],
            axis=-1,
        )
        of_gates = materialise(of_gates.astype(to_hidden.dtype))
        of_state = LstmState(of_memory * forget, dot(of_gates, to_hidden))
        if of_skipped is not None:
            of_state = jax.tree.map(jnp.add, of_state, of_skipped)
        if restart_now is not None:
            if of_restart is not None:
                here = _choose(restart_now, of_state, None)
                of_restart = jax.tree.map(jnp.add, of_restart, here)
            of_state = _choose(restart_now, None, of_state)
        return (of_state, of_restart), (of_gates, of_output)

    (of_state, of_restart), (of_gates, of_projected) = jax.lax.scan(
        step,
        (of_state, of_restart),
        (of_outputs, outputs, given.restart, given.real, saved),
        reverse=not settings.reverse,
    )
    of_inputs, of_kernel = _divide_slopes(given, saved.before.hidden, of_gates)
    of_projection = None
    if projection is not None:
        leave = jnp.split(saved.gates, 4, axis=-1)[3].astype(jnp.float32)
        squashed = leave * jnp.tanh(saved.memory)
        of_projection = _sum_of_products(squashed, of_projected, projection.dtype)
    if of_restart is not None:
        of_restart = jax.tree.map(partial(jnp.sum, axis=0, keepdims=True), of_restart)
    slopes_of_given = _Given(
        of_inputs, of_kernel, of_projection, of_state, None, of_restart, None
    )
    return (slopes_of_given,)


_recur.defvjp(_forward, _backward)


def _divide_slopes(
    given: _Given, hiddens: Float[Array, "T B P"], of_gates: Float[Array, "T B H4"]
) -> tuple[Array | GatesByType | InputVectors, Float[Array, "rows H4"]]:
    """Return the gradients of the inputs, in their form, and of the kernel."""
    inputs, kernel = given.inputs, given.kernel
    slopes = of_gates.astype(jnp.float32)
    if isinstance(inputs, InputVectors):
        to_vectors = kernel[: inputs.vectors.shape[-1]].T
        of_vectors = dot(of_gates, to_vectors).astype(inputs.vectors.dtype)
        of_inputs = InputVectors(of_vectors, jnp.sum(slopes, axis=(0, 1)))
        left = jnp.concatenate([inputs.vectors, hiddens.astype(kernel.dtype)], axis=-1)
        return of_inputs, _sum_of_products(left, of_gates, kernel.dtype)
    of_kernel = _sum_of_products(hiddens, of_gates, kernel.dtype)
    if isinstance(inputs, GatesByType):
        table = jnp.zeros((len(inputs.table), slopes.shape[-1]), jnp.float32)
        table = table.at[inputs.words].add(slopes)
        return inputs._replace(table=table, words=None), of_kernel
    return slopes, of_kernel


def _squash(gates: Float[Array, "B H4"]) -> tuple[Array, Array, Array, Array]:
    """Return the input, candidate, forget and output gates, each `[B H]`."""
    enter, candidate, forget, leave = jnp.split(gates, 4, axis=-1)
    return (
        _sigmoid(enter),
        jnp.tanh(candidate),
        _sigmoid(forget + FORGET_BIAS),
        _sigmoid(leave),
    )


def _sigmoid(values: Array) -> Array:
    """Compute the logistic function."""
    # XLA:CPU computes tanh in half the time of its logistic function.
    return 0.5 * jnp.tanh(0.5 * values) + 0.5


def _clip(values: Array, bound: float | None) -> Array:
    """Bound values on both sides, unless there is no bound."""
    return values if bound is None else jnp.clip(values, -bound, bound)


def _pass(slope: Array, values: Array, bound: float | None) -> Array:
    """Return the gradient of `_clip`: the slope, zero where values were clipped."""
    return slope if bound is None else jnp.where(jnp.abs(values) < bound, slope, 0.0)


def _choose(
    condition: Bool[Array, " B"], chosen: LstmState | None, other: LstmState | None
) -> LstmState:
    """Select rows of one state or the other by a condition; None is zeros."""
    where = condition[:, None]
    zeros = 0.0, 0.0
    both = zip(chosen or zeros, other or zeros, strict=True)
    return LstmState(*(jnp.where(where, *parts) for parts in both))


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
