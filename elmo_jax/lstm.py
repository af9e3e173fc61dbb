# SPDX-License-Identifier: Apache-2.0
"""One LSTM layer with a projection, read in either direction, restarted at will.

The cell is TensorFlow's `LSTMCell`, whose weights the published files hold: gates in
the order input, candidate, forget, output; one added to the forget gate; the cell
clipped, then its projection.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, no_type_check

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from elmo_jax.config import ElmoConfig
from elmo_jax.gates import FORGET_BIAS, clip, materialise, sigmoid
from embed_jax.devices.precision import precision


@no_type_check  # jax also builds such trees of shapes, shardings and axes.
class LstmState(NamedTuple):
    """What an LSTM layer carries from one position to the next, float32.

    Attributes:
      cell: the memory.
      hidden: what it gave on last, before any skip connection.
    """

    cell: Float[Array, "*B H"]
    hidden: Float[Array, "*B P"]


class TypeInputs(NamedTuple):
    """The inputs of a layer that reads words out of context, each type once.

    Attributes:
      vectors: one a type.
      words: for each position its type, time first.
    """

    vectors: Float[Array, "U P"]
    words: Int[Array, "T B"]


class LstmLayer(nn.Module):
    """One layer in one direction.

    Attributes:
      config: sizes and clips.
      dtype: of the products; state and gates stay float32.
      reverse: whether it reads from the last position to the first.
      hoist: whether the inputs' half of the gates is one product before the loop, which
        suits accelerators, or a part of the product in each step, which suits a CPU.
        See docs/decisions/lstm-speed.md.
    """

    config: ElmoConfig
    dtype: jnp.dtype
    reverse: bool
    hoist: bool

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "T B P"] | TypeInputs,
        state: LstmState,
        restart: Bool[Array, "T B"] | None = None,
        restart_state: LstmState | None = None,
        real: Bool[Array, "T B"] | None = None,
    ) -> tuple[Float[Array, "T B P"], LstmState]:
        """Read all positions, time first.

        Args:
          inputs: one vector a position, or the vectors of types and which is where.
          state: before the first position that is read.
          restart: positions before which `restart_state` replaces the state.
          restart_state: of a batch of one.
          real: positions that change the state; all where None.

        Returns:
          One vector a position, and the state after the last one.
        """
        kernel, bias, projection = lstm_weights(self, self.config, self.dtype)
        xs, read_gates = self._gates(inputs, kernel, bias)

        def step(state: LstmState, now: tuple) -> tuple[LstmState, Array]:
            x, restart_now, real_now = now
            if restart_now is not None and restart_state is not None:
                state = _choose(restart_now, restart_state, state)
            gates = read_gates(x, state.hidden.astype(self.dtype))
            new = self._advance(gates, state.cell, projection)
            if real_now is not None:
                new = _choose(real_now, new, state)
            return new, new.hidden

        xs = (xs, restart, real)
        state, outputs = jax.lax.scan(step, state, xs, reverse=self.reverse)
        return outputs, state

    def _gates(
        self,
        inputs: Float[Array, "T B P"] | TypeInputs,
        kernel: Float[Array, "P_and_P H4"],
        bias: Float[Array, " H4"],
    ) -> tuple[Array, Callable[[Array, Array], Array]]:
        """Divide the product that gives the gates between before and in the loop.

        Returns:
          What the loop runs over, and a function of its element and the hidden state
          that gives the gates `[B 4H]`.
        """
        from_input, from_hidden = jnp.split(kernel, 2)
        if isinstance(inputs, TypeInputs):
            # Words repeat, and what a layer without context reads repeats with them.
            table = (
                self._dot(inputs.vectors.astype(self.dtype), from_input) + bias[None]
            )
            table = materialise(table)

            def look_up(words: Array, hidden: Array) -> Array:
                return materialise(table[words]) + self._dot(hidden, from_hidden)

            return inputs.words, look_up
        inputs = inputs.astype(self.dtype)
        if self.hoist:
            given = materialise(self._dot(inputs, from_input) + bias[None, None])
            return given, lambda now, hidden: now + self._dot(hidden, from_hidden)

        def multiply(x: Array, hidden: Array) -> Array:
            both = materialise(jnp.concatenate([x, hidden], axis=-1))
            return self._dot(both, kernel) + bias[None]

        return inputs, multiply

    def _advance(
        self,
        gates: Float[Array, "B H4"],
        cell: Float[Array, "B H"],
        projection: Float[Array, "H P"] | None,
    ) -> LstmState:
        """Compute the state after a position from its gates."""
        enter, candidate, forget, leave = jnp.split(gates, 4, axis=-1)
        cell = sigmoid(forget + FORGET_BIAS) * cell
        cell = cell + sigmoid(enter) * jnp.tanh(candidate)
        cell = clip(cell, self.config.cell_clip)
        hidden = sigmoid(leave) * jnp.tanh(cell)
        if projection is None:
            return LstmState(cell, hidden)
        cell, hidden = materialise((cell, hidden))
        hidden = self._dot(hidden.astype(self.dtype), projection)
        return LstmState(cell, clip(hidden, self.config.projection_clip))

    def _dot(self, left: Array, right: Float[Array, "in out"]) -> Array:
        return jnp.dot(
            left,
            right,
            precision=precision(self.dtype),
            preferred_element_type=jnp.float32,
        )


def lstm_weights(
    module: nn.Module, config: ElmoConfig, dtype: jnp.dtype
) -> tuple[Float[Array, "P_and_P H4"], Float[Array, " H4"], Array | None]:
    """Declare a layer's parameters: kernel, bias and projection.

    Products are of the type `dtype`, so the kernel and the projection are returned in
    it; the bias is float32.
    """
    cell_dim, width = config.cell_dim, config.projection_dim
    glorot = nn.initializers.glorot_uniform()
    kernel = module.param("kernel", glorot, (2 * width, 4 * cell_dim))
    bias = module.param("bias", nn.initializers.zeros, (4 * cell_dim,))
    projection = None
    if config.has_projection:
        projection = module.param("projection", glorot, (cell_dim, width))
        projection = projection.astype(dtype)
    return kernel.astype(dtype), bias, projection


def zero_state(config: ElmoConfig, num_rows: Any) -> LstmState:
    """Return the state of a layer that has read nothing.

    Args:
      config: sizes.
      num_rows: an int, or the letter that stands for one in an exported program.
    """
    return LstmState(
        jnp.zeros((num_rows, config.cell_dim), jnp.float32),
        jnp.zeros((num_rows, config.projection_dim), jnp.float32),
    )


def _choose(
    condition: Bool[Array, " B"], chosen: LstmState, other: LstmState
) -> LstmState:
    """Take whole rows of the one state or the other."""
    where = condition[:, None]
    return LstmState(
        *(jnp.where(where, *both) for both in zip(chosen, other, strict=True))
    )
