# SPDX-License-Identifier: Apache-2.0
"""The layers of one direction, each reading what the one below it gives."""

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
    """Run all layers, each over all positions, time first.

    Args:
      stack: the layers, from below.
      inputs: of the lowest.
      states: of each layer, before the first position.
      restart: positions before which `restart_states` replace the states.
      restart_states: of each layer, of a batch of one; zeros where None.
      real: positions that change the states; all where None.
      dropout: of what each layer reads.

    Returns:
      What each layer gives, skip connections added, and the states after the last
      position, which are of what came before the addition.
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
