# SPDX-License-Identifier: Apache-2.0
"""The biLM for pretraining, on one stream of text for each direction.

A stream is sentences end to end, each after a boundary: `<S> w1 … wn <S> w1' …`
forward, `</S> wn … w1 </S> …` backward. Every position predicts the next one. The
parameters are those of `elmo_jax.bilm`.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from elmo_jax.bilm import Carry
from elmo_jax.char_cnn import word_reader
from elmo_jax.config import ElmoConfig
from elmo_jax.lstm import LstmLayer
from elmo_jax.stack import run_stack
from elmo_jax.tokens import END
from embed_jax.recurrence import LstmState


class StreamedBiLm(nn.Module):
    """The biLM over streams; its outputs predict the next word of each stream.

    Attributes:
      config: of the model.
      dtype: of products; parameters and states are float32.
      reset_state: whether the state is set to the initial one before a boundary, as in
        `elmo_jax.embed`, or carried over from the previous sentence, as in bilm-tf.
      remat: whether to recompute the gates in the backward pass.
      gather: gathers the word vectors, if each device computes a share of the words.
    """

    config: ElmoConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    reset_state: bool = False
    remat: bool = False
    gather: Callable[[Array], Array] | None = None

    @nn.compact
    def __call__(
        self,
        types: Int[Array, "U ..."],
        words: Int[Array, "B 2 T"],
        carry: Carry,
        deterministic: bool = True,
        start: Carry | None = None,
    ) -> tuple[Float[Array, "B 2 T P"], Carry]:
        """Run the biLM over a window of both streams.

        Args:
          types: the distinct words, as `ElmoTokens.types`: `<S>` and `</S>` first.
          words: indices into `types`, in the order in which each direction reads.
          carry: the states before the window.
          deterministic: False draws dropout from the "dropout" stream.
          start: of a batch of one, the state before a boundary, as of `elmo_jax.bilm`;
            by default zeros. Without `reset_state` it is not read.

        Returns:
          The top layer's output at each position, and the states after the window.
        """
        vectors = word_reader(self.config, self.dtype)(types)
        if self.gather:
            vectors = self.gather(vectors)
        tops, states = [], []
        for direction, name in enumerate(("forward", "backward")):
            top, state = self._read(
                name,
                vectors,
                words[:, direction].T,
                carry[direction],
                deterministic,
                None if start is None else start[direction],
            )
            tops.append(top.swapaxes(0, 1))
            states.append(state)
        return jnp.stack(tops, axis=1), tuple(states)

    def _read(
        self,
        name: str,
        vectors: Float[Array, "U P"],
        words: Int[Array, "T B"],
        carry: tuple[LstmState, ...],
        deterministic: bool,
        start: tuple[LstmState, ...] | None,
    ) -> tuple[Float[Array, "T B P"], tuple[LstmState, ...]]:
        """Run one direction's stack, time-major."""
        layer_class = nn.remat(LstmLayer) if self.remat else LstmLayer
        stack = [
            layer_class(
                self.config,
                self.dtype,
                reverse=False,
                hoist=True,
                name=f"{name}_{index}",
            )
            for index in range(self.config.num_blocks)
        ]
        dropout = nn.Dropout(self.config.dropout_rate, deterministic=deterministic)
        outputs, states = run_stack(
            stack,
            vectors[words].astype(jnp.float32),
            carry,
            restart=words <= END if self.reset_state else None,
            restart_states=start if self.reset_state else None,
            dropout=dropout,
        )
        return dropout(outputs[-1]), states
