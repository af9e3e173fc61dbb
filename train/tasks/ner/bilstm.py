# SPDX-License-Identifier: Apache-2.0
"""A bidirectional LSTM over sentences that are packed end to end in rows.

The input part of the gates is one product before the loop over time, which is that of
`embed_jax.recurrence`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from embed_jax.recurrence import LstmState, recur


class BiLstm(nn.Module):
    """One bidirectional LSTM layer, with states reset to zero at every sentence.

    Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000.

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
        """Run the layer.

        Args:
          inputs: one vector a word; padding may hold any finite value.
          first: the words that begin a sentence.
          last: the words that end one.
        """
        dim, gates = inputs.shape[-1], 4 * self.cell_dim
        glorot = _drawn(nn.initializers.glorot_uniform(batch_axis=0))
        orthogonal = _drawn(nn.initializers.orthogonal(column_axis=-1))
        kernel = self.param("input", glorot, (2, dim, gates))
        recurrent = self.param("recurrent", orthogonal, (2, self.cell_dim, gates))
        bias = self.param("bias", nn.initializers.zeros, (2, gates))
        given = jnp.einsum("BTD,ZDG->ZTBG", inputs, kernel) + bias[:, None, None]
        # The backward direction is read in reversed order; both share one loop.
        given = jnp.stack([given[0], given[1, ::-1]], axis=1)
        restart = jnp.stack([first.T, last.T[::-1]], axis=1)
        zeros = jnp.zeros((len(inputs), self.cell_dim))

        def read(given: Array, recurrent: Array, restart: Array) -> Array:
            state = LstmState(zeros, zeros)
            return recur(given, recurrent, None, state, restart=restart)[0]

        hidden = jax.vmap(read, (1, 0, 1), 1)(given, recurrent, restart)
        both = jnp.concatenate([hidden[:, 0], hidden[::-1, 1]], axis=-1)
        return both.swapaxes(0, 1)


def _drawn(initializer: nn.initializers.Initializer) -> nn.initializers.Initializer:
    """Return an initialiser with the gates in the order of `embed_jax.recurrence`."""

    def draw(key: Array, shape: tuple[int, ...]) -> Float[Array, "Z rows G"]:
        # A seed draws input, forget, candidate and output in this order, as it did for
        # the scores in docs/results.
        enter, forget, candidate, leave = jnp.split(initializer(key, shape), 4, axis=-1)
        return jnp.concatenate([enter, candidate, forget, leave], axis=-1)

    return draw
