# SPDX-License-Identifier: Apache-2.0
"""The stack of LSTM layers of one direction."""

from collections.abc import Sequence
from typing import cast

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from elmo_jax.lstm import LstmLayer, TypeInputs
from embed_jax.recurrence import LstmState


def run_stack(
    stack: Sequence[LstmLayer],
    inputs: Float[Array, "T B P"] | TypeInputs,
    states: Sequence[LstmState],
    restart: Bool[Array, "T B"] | None = None,
    restart_states: Sequence[LstmState] | None = None,
    real: Bool[Array, "T B"] | None = None,
    dropout: nn.Dropout | None = None,
) -> tuple[list[Float[Array, "T B P"]], tuple[LstmState, ...]]:
    """Run all layers, each over all positions; arrays are time-major.

    Args:
      stack: the layers, the lowest first.
      inputs: of the lowest layer.
      states: of each layer, before the first position.
      restart: True at positions before which `restart_states` replace the states.
      restart_states: of each layer, of a batch of one; zeros where None.
      real: True at positions that change the states; all where None.
      dropout: of the input of each layer.

    Returns:
      The outputs of the layers, skip connections added, and the states after the last
      position, without skip connections.
    """
    outputs, after = [], []
    for index, layer in enumerate(stack):
        if dropout is not None and not isinstance(inputs, TypeInputs):
            inputs = cast(Array, dropout(inputs))
        restart_state = None if restart_states is None else restart_states[index]
        output, state = layer(inputs, states[index], restart, restart_state, real)
        if layer.config.skip_connections and index:
            # differs from the usual: what is carried on is the dropped input, as
            # bilm-tf does it.
            output = output + cast(Array, inputs)
        inputs = output
        outputs.append(output)
        after.append(state)
    return outputs, tuple(after)
