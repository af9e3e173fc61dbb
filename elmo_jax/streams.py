# SPDX-License-Identifier: Apache-2.0
"""The biLM as it is pretrained: two streams of text, each read in its own direction.

A stream is sentences end to end, a boundary before each: `<S> w1 … wn <S> w1' …`
forward, `</S> wn … w1 </S> …` backward. Every position predicts the one after it. The
parameters are those of `elmo_jax.bilm`, which serves them.
"""

from collections.abc import Callable
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from elmo_jax.bilm import Carry
from elmo_jax.char_cnn import CharCnn, WordTable
from elmo_jax.config import ElmoConfig
from elmo_jax.lstm import LstmState, lstm_weights, zero_state
from elmo_jax.lstm_gradient import Clips, read_in_order
from elmo_jax.tokens import END
from embed_jax.devices.precision import precision


class StreamedBiLm(nn.Module):
    """What predicts the next word of each stream.

    Attributes:
      config: the shape of the model.
      dtype: of products; parameters and states are float32.
      restarts: whether a boundary is read from zeros, as `elmo_jax.embed` does, or from
        the state that the sentence before it left, as bilm-tf does.
      remat: whether the gates are computed again in the backward pass.
      gather: brings the words' vectors together, where each device spells some words.
    """

    config: ElmoConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    restarts: bool = False
    remat: bool = False
    gather: Callable[[Array], Array] | None = None

    @nn.compact
    def __call__(
        self,
        types: Int[Array, "U ..."],
        words: Int[Array, "B 2 T"],
        carry: Carry,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "B 2 T P"], Carry]:
        """Read a window of both streams.

        Args:
          types: the distinct words, as `ElmoTokens.types`: `<S>` and `</S>` first.
          words: indices into `types`, in the order in which each direction reads.
          carry: the states before the window.
          deterministic: False draws dropout from the "dropout" stream.

        Returns:
          What the top layer says after each position, and the states after the window.
        """
        vectors = self._word_vectors(types)
        if self.gather:
            vectors = self.gather(vectors)
        tops, states = [], []
        for direction, name in enumerate(("forward", "backward")):
            top, state = self._read(
                name, vectors, words[:, direction].T, carry[direction], deterministic
            )
            tops.append(top.swapaxes(0, 1))
            states.append(state)
        return jnp.stack(tops, axis=1), tuple(states)

    def _word_vectors(self, types: Int[Array, "U ..."]) -> Float[Array, "U P"]:
        width = self.config.projection_dim
        if self.config.char_cnn:
            cnn = CharCnn(self.config.char_cnn, width, self.dtype, name="char_cnn")
            return cnn(types)
        return WordTable(self.config, self.dtype, name="words")(types)

    def _read(
        self,
        name: str,
        vectors: Float[Array, "U P"],
        words: Int[Array, "T B"],
        carry: tuple[LstmState, ...],
        deterministic: bool,
    ) -> tuple[Float[Array, "T B P"], tuple[LstmState, ...]]:
        """Run one direction's stack, time first."""
        dropout = nn.Dropout(self.config.dropout_rate, deterministic=deterministic)
        kept = jnp.ones(words.shape, jnp.float32)
        if self.restarts:
            kept = (words > END).astype(jnp.float32)
        layer_class = nn.remat(StreamLstm) if self.remat else StreamLstm
        inputs = vectors[words].astype(jnp.float32)
        states = []
        for index in range(self.config.num_blocks):
            layer = layer_class(self.config, self.dtype, name=f"{name}_{index}")
            # differs from the usual: the skip connection carries the dropped input on,
            # as bilm-tf's does.
            inputs = dropout(inputs)
            outputs, state = layer(inputs, carry[index], kept)
            if self.config.skip_connections and index:
                outputs = outputs + inputs
            inputs = outputs
            states.append(state)
        return dropout(inputs), tuple(states)


class StreamLstm(nn.Module):
    """The layer of `elmo_jax.lstm`, read left to right, with a gradient made for it.

    Attributes:
      config: sizes and clips.
      dtype: of the products; state and gates stay float32.
    """

    config: ElmoConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "T B P"],
        state: LstmState,
        kept: Float[Array, "T B"],
    ) -> tuple[Float[Array, "T B P"], LstmState]:
        """Read all positions; where `kept` is 0 they are read from zeros."""
        kernel, bias, projection = lstm_weights(self, self.config, self.dtype)
        from_input, from_hidden = jnp.split(kernel, 2)
        given = jnp.dot(
            inputs.astype(self.dtype),
            from_input,
            precision=precision(self.dtype),
            preferred_element_type=jnp.float32,
        )
        read = read_in_order(
            given + bias[None, None],
            state.cell,
            state.hidden,
            kept,
            from_hidden,
            projection,
            Clips(self.config.cell_clip, self.config.projection_clip),
        )
        outputs, cell, hidden = cast(tuple[Array, Array, Array], read)
        return outputs, LstmState(cell, hidden)


def zero_streams(config: ElmoConfig, num_rows: int) -> Carry:
    """Return the states before anything was read, of both directions."""
    layers = tuple(zero_state(config, num_rows) for _ in range(config.num_blocks))
    return (layers, jax.tree.map(jnp.copy, layers))
