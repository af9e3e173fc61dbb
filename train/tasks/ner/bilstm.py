# SPDX-License-Identifier: Apache-2.0
"""A bidirectional LSTM over sentences that lie end to end in the rows of a batch.

The inputs' half of the gates is one product before the loop over time. The gradient is
written out, so that the recurrent weights' is one product after the loop too: left to
differentiation, the loop adds a matrix of their size at every position.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from elmo_jax.gates import FORGET_BIAS, materialise, sigmoid


class BiLstm(nn.Module):
    """One layer, read in both directions and restarted at every sentence.

    Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates in
    the order input, forget, candidate, output. States start from zeros.

    Attributes:
      cell_dim: H, of each direction.
    """

    cell_dim: int

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "B T D"],
        first: Bool[Array, "B T"],
        last: Bool[Array, "B T"],
    ) -> Float[Array, "B T _"]:
        """Read the rows.

        Args:
          inputs: one vector a word; padding may hold anything finite.
          first: the words that begin a sentence.
          last: the words that end one.
        """
        dim, gates = inputs.shape[-1], 4 * self.cell_dim
        kernel = self.param(
            "input", nn.initializers.glorot_uniform(batch_axis=0), (2, dim, gates)
        )
        recurrent = self.param(
            "recurrent",
            nn.initializers.orthogonal(column_axis=-1),
            (2, self.cell_dim, gates),
        )
        bias = self.param("bias", _forget_bias, (2, gates))
        driven = jnp.einsum("BTD,ZDG->ZTBG", inputs, kernel) + bias[:, None, None]
        # The backward direction is read in reversed order; both share one loop.
        driven = jnp.stack([driven[0], driven[1, ::-1]], axis=1)
        goes_on = jnp.stack([~first.T, ~last.T[::-1]], axis=1).astype(inputs.dtype)
        hidden = recur(driven, recurrent, goes_on)
        both = jnp.concatenate([hidden[:, 0], hidden[::-1, 1]], axis=-1)
        return both.swapaxes(0, 1)


@jax.custom_vjp
def recur(
    driven: Float[Array, "T Z B G"],
    recurrent: Float[Array, "Z H G"],
    goes_on: Float[Array, "T Z B"],
) -> Float[Array, "T Z B H"]:
    """Run the loop over time, for Z directions at once.

    Args:
      driven: what inputs and biases give to the gates.
      recurrent: what the state before gives to them.
      goes_on: 1 where the state before counts, 0 where a sentence begins.
    """
    return _run(driven, recurrent, goes_on)[0]


def _run(driven: Array, recurrent: Array, goes_on: Array) -> tuple[Array, tuple]:
    def step(state: tuple, now: tuple) -> tuple[tuple, tuple]:
        hidden, cell = state
        driven, goes_on = now
        hidden, cell = hidden * goes_on[..., None], cell * goes_on[..., None]
        total = driven + jnp.einsum("ZBH,ZHG->ZBG", hidden, recurrent)
        # Kept, or XLA:CPU squashes them again wherever they are read.
        gates = materialise(_activate(total))
        into, forget, candidate, out = jnp.split(gates, 4, axis=-1)
        after = materialise(forget * cell + into * candidate)
        given = out * jnp.tanh(after)
        return (given, after), (given, hidden, cell, after, gates)

    zeros = jnp.zeros((*driven.shape[1:3], recurrent.shape[1]), driven.dtype)
    _, (given, *held) = jax.lax.scan(step, (zeros, zeros), (driven, goes_on))
    return given, (recurrent, goes_on, *held)


def _run_back(held: tuple, change: Array) -> tuple[Array, Array, Array]:
    recurrent, goes_on, hidden, cell, after, gates = held

    def step(state: tuple, now: tuple) -> tuple[tuple, Array]:
        to_hidden, to_cell = state
        change, goes_on, cell, after, gates = now
        into, forget, candidate, out = jnp.split(gates, 4, axis=-1)
        squashed = materialise(jnp.tanh(after))
        to_given = change + to_hidden
        to_after = materialise(to_cell + to_given * out * (1 - squashed**2))
        to_total = jnp.concatenate(
            [
                to_after * candidate * into * (1 - into),
                to_after * cell * forget * (1 - forget),
                to_after * into * (1 - candidate**2),
                to_given * squashed * out * (1 - out),
            ],
            axis=-1,
        )
        to_total = materialise(to_total)
        to_hidden = jnp.einsum("ZBG,ZHG->ZBH", to_total, recurrent)
        kept = goes_on[..., None]
        return (to_hidden * kept, to_after * forget * kept), to_total

    zeros = jnp.zeros_like(hidden[0])
    _, to_driven = jax.lax.scan(
        step, (zeros, zeros), (change, goes_on, cell, after, gates), reverse=True
    )
    to_recurrent = jnp.einsum("TZBH,TZBG->ZHG", hidden, to_driven)
    return to_driven, to_recurrent, jnp.zeros_like(goes_on)


recur.defvjp(_run, _run_back)


def _activate(total: Float[Array, "*B G"]) -> Float[Array, "*B G"]:
    """Squash the gates."""
    into, forget, candidate, out = jnp.split(total, 4, axis=-1)
    gates = [sigmoid(into), sigmoid(forget), jnp.tanh(candidate), sigmoid(out)]
    return jnp.concatenate(gates, axis=-1)


def _forget_bias(key: Array, shape: tuple[int, int]) -> Float[Array, "Z G"]:
    del key
    quarter = shape[1] // 4
    return jnp.zeros(shape).at[:, quarter : 2 * quarter].set(FORGET_BIAS)
