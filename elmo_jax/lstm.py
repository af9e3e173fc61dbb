# SPDX-License-Identifier: Apache-2.0
"""One LSTM layer with a projection, forward or backward, with restarts of its state.

The cell is TensorFlow's `LSTMCell`, as in the published files: gates in the order
input, candidate, forget, output; one added to the forget gate; the cell state clipped,
then the projection.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from elmo_jax.config import ElmoConfig
from embed_jax.devices.materialise import materialise
from embed_jax.devices.precision import dot
from embed_jax.recurrence import GatesByType, InputVectors, LstmState, recur


class TypeInputs(NamedTuple):
    """Context-free inputs of a layer, with one vector for each distinct word (type).

    Attributes:
      vectors: one a type.
      words: for each position the index of its type, time-major.
    """

    vectors: Float[Array, "U P"]
    words: Int[Array, "T B"]


class LstmLayer(nn.Module):
    """One LSTM layer in one direction.

    Attributes:
      config: sizes and clips.
      dtype: of the products; state and gates stay float32.
      reverse: whether it reads from the last position to the first.
      hoist: whether the input part of the gates is one product before the loop, which
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
        """Run the layer over all positions; arrays are time-major.

        Args:
          inputs: one vector a position, or `TypeInputs`.
          state: before the first position that is read.
          restart: True at positions before which `restart_state` replaces the state.
          restart_state: of a batch of one.
          real: True at positions that change the state; all where None.

        Returns:
          One vector a position, and the state after the last one.
        """
        kernel, bias, projection = self._weights()
        read, multiplied = self._divide(inputs, kernel, bias)
        return recur(
            read,
            multiplied,
            projection,
            state,
            restart=restart,
            restart_state=restart_state,
            real=real,
            cell_clip=self.config.cell_clip,
            projection_clip=self.config.projection_clip,
            reverse=self.reverse,
        )

    def _weights(
        self,
    ) -> tuple[Float[Array, "P_and_P H4"], Float[Array, " H4"], Array | None]:
        """Declare kernel, bias and projection; the matrices are cast to `dtype`."""
        cell_dim, width = self.config.cell_dim, self.config.projection_dim
        glorot = nn.initializers.glorot_uniform()
        kernel = self.param("kernel", glorot, (2 * width, 4 * cell_dim), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (4 * cell_dim,), jnp.float32)
        projection = None
        if self.config.has_projection:
            projection = self.param(
                "projection", glorot, (cell_dim, width), jnp.float32
            )
            projection = projection.astype(self.dtype)
        bias = bias.astype(jnp.float32)  # whatever its dtype, as the gates are
        return kernel.astype(self.dtype), bias, projection

    def _divide(
        self,
        inputs: Float[Array, "T B P"] | TypeInputs,
        kernel: Float[Array, "P_and_P H4"],
        bias: Float[Array, " H4"],
    ) -> tuple[Array | GatesByType | InputVectors, Float[Array, "rows H4"]]:
        """Divide the products of the gates into those before and those in the loop.

        Returns:
          The inputs of the loop, and the part of the kernel multiplied in it.
        """
        from_input, from_hidden = jnp.split(kernel, 2)
        if isinstance(inputs, TypeInputs):
            # Words repeat, and what a layer without context reads repeats with them.
            table = dot(inputs.vectors, from_input) + bias[None]
            return GatesByType(materialise(table), inputs.words), from_hidden
        if self.hoist:
            gates = dot(inputs, from_input) + bias[None, None]
            return materialise(gates), from_hidden
        return InputVectors(inputs.astype(self.dtype), bias), kernel


def zero_state(config: ElmoConfig, num_rows: Any) -> LstmState:
    """Return the zero state of a layer.

    Args:
      config: sizes.
      num_rows: an int, or a symbolic dimension in an exported program.
    """
    return LstmState(
        jnp.zeros((num_rows, config.cell_dim), jnp.float32),
        jnp.zeros((num_rows, config.projection_dim), jnp.float32),
    )
