# SPDX-License-Identifier: Apache-2.0
"""The biLM of ELMo (Peters et al. 2018), which returns all its layers.

Each direction has its own stack of LSTMs; only the word vectors are shared.
"""

from typing import Any, NamedTuple, cast, no_type_check

import flax.linen as nn
import jax.numpy as jnp
from jax import export
from jaxtyping import Array, Float, Int

from elmo_jax.char_cnn import word_reader
from elmo_jax.config import ElmoConfig
from elmo_jax.lstm import LstmLayer, TypeInputs, zero_state
from elmo_jax.stack import run_stack
from elmo_jax.tokens import BEGIN, END, ElmoTokens
from embed_jax.equality import equal_by_value
from embed_jax.recurrence import LstmState

Carry = tuple[tuple[LstmState, ...], ...]
"""LSTM states of all rows: a tuple of directions, each a tuple of layers."""


@equal_by_value
@no_type_check  # jax also builds such trees of shapes and shardings.
class BiLmOutput(NamedTuple):
    """The output of the biLM for a batch.

    Attributes:
      layers: layers 0 to the highest computed one, forward and backward concatenated.
        Values at padding are undefined.
      carry: the states after each row: at its right end forward, its left backward.
      boundaries: for each layer its output at the first boundary of a sentence in each
        direction, `<S>` forward and `</S>` backward.
    """

    layers: tuple[Float[Array, "B T D"], ...]
    carry: Carry
    boundaries: tuple[Float[Array, " D"], ...]


class BiLm(nn.Module):
    """The biLM up to a chosen layer.

    In each direction a sentence begins from the state after its boundary token. That
    state is the same for all sentences, so it is computed once, and boundaries take no
    positions. The boundary at the other end affects no vector and is not read.

    Attributes:
      config: of the model.
      dtype: of products; parameters, states and layers are float32.
      hoist: see `elmo_jax.lstm.LstmLayer`.
    """

    config: ElmoConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    hoist: bool = True

    @nn.compact
    def __call__(
        self,
        tokens: ElmoTokens,
        carry: Carry | None = None,
        start: Carry | None = None,
        highest_layer: int | None = None,
        deterministic: bool = True,
    ) -> BiLmOutput:
        """Run the biLM over a batch of rows.

        Args:
          tokens: the batch.
          carry: the states before each row, at its left end forward and its right end
            backward, used unless a sentence starts there. Padding does not change
            states.
          start: of a batch of one, the state before a sentence's first boundary; by
            default zeros.
          highest_layer: layers above it are not run; by default all are.
          deterministic: False draws dropout from the "dropout" stream.

        Returns:
          The layers and the states after them.
        """
        vectors = self._word_vectors(tokens)
        num_blocks = self.config.num_blocks if highest_layer is None else highest_layer
        if self.is_initializing():
            num_blocks = self.config.num_blocks
        ways = [
            self._run_direction(
                vectors,
                tokens,
                num_blocks,
                backward=backward,
                carry=None if carry is None else carry[backward],
                start=None if start is None else start[backward],
                dropout=nn.Dropout(
                    self.config.dropout_rate, deterministic=deterministic
                ),
            )
            for backward in range(self.config.num_directions)
        ]
        layers = [
            jnp.concatenate(both, axis=-1).swapaxes(0, 1)
            for both in zip(*(way.layers for way in ways), strict=True)
        ]
        token_layer = vectors[tokens.words]
        token_layer = jnp.concatenate([token_layer] * len(ways), axis=-1)
        return BiLmOutput(
            layers=(token_layer, *layers),
            carry=tuple(way.states for way in ways),
            boundaries=tuple(
                jnp.concatenate(both)
                for both in zip(*(way.boundaries for way in ways), strict=True)
            ),
        )

    def _word_vectors(self, tokens: ElmoTokens) -> Float[Array, "U P"]:
        """Compute layer 0 of every distinct word, unless the batch has it."""
        if jnp.issubdtype(tokens.types.dtype, jnp.floating):
            return tokens.types
        vectors = word_reader(self.config, self.dtype)(tokens.types)
        return vectors.astype(jnp.float32)

    def _run_direction(
        self,
        vectors: Float[Array, "U P"],
        tokens: ElmoTokens,
        num_blocks: int,
        *,
        backward: int,
        carry: tuple[LstmState, ...] | None,
        start: tuple[LstmState, ...] | None,
        dropout: nn.Dropout,
    ) -> "_Direction":
        """Run one stack of LSTMs over all positions, time-major."""
        name = "backward" if backward else "forward"
        stack = [
            LstmLayer(
                self.config,
                self.dtype,
                reverse=bool(backward),
                hoist=self.hoist,
                name=f"{name}_{index}",
            )
            for index in range(num_blocks)
        ]
        words = tokens.words.swapaxes(0, 1)
        num_rows = words.shape[1]
        boundary = vectors[END if backward else BEGIN]
        boundaries, after_boundary = run_stack(
            stack, boundary[None, None], start or self._nothing_read(1)
        )
        by_type = dropout.deterministic and _has_no_more(vectors, words)
        layers, states = run_stack(
            stack,
            TypeInputs(vectors, words) if by_type else vectors[words],
            carry or self._nothing_read(num_rows),
            (tokens.ends if backward else tokens.starts).swapaxes(0, 1),
            after_boundary,
            None if carry is None else tokens.mask.swapaxes(0, 1),
            dropout,
        )
        if num_blocks == self.config.num_blocks:
            # As in training, whose softmax reads the last layer dropped too.
            layers[-1] = cast(Array, dropout(layers[-1]))
        boundaries = [boundary, *(layer[0, 0] for layer in boundaries)]
        return _Direction(layers, states, boundaries)

    def _nothing_read(self, num_rows: Any) -> tuple[LstmState, ...]:
        return (zero_state(self.config, num_rows),) * self.config.num_blocks


def _has_no_more(types: Float[Array, "U P"], words: Int[Array, "T B"]) -> bool:
    """Return whether there are at most as many types as positions; True if unknown."""
    if any(map(export.is_symbolic_dim, (*types.shape, *words.shape))):
        return True
    return len(types) <= words.size


@no_type_check
class _Direction(NamedTuple):
    layers: list[Float[Array, "T B P"]]
    states: tuple[LstmState, ...]
    boundaries: list[Float[Array, " P"]]


def word_vectors(
    config: ElmoConfig, encoder: dict, types: Int[Array, "U ..."], dtype: jnp.dtype
) -> Float[Array, "U P"]:
    """Compute layer 0 only, for words in the form of `ElmoTokens.types`.

    Args:
      config: of the model.
      encoder: its weights.
      types: characters, or rows of the word table.
      dtype: of the products.

    Returns:
      Float32 vectors, which can replace the types in `ElmoTokens`.
    """
    reader = word_reader(config, dtype)
    weights = encoder[reader.name]
    vectors = cast(Array, reader.apply({"params": weights}, types))
    return vectors.astype(jnp.float32)


def zero_carry(config: ElmoConfig, num_rows: int) -> Carry:
    """Return zero states, bilm-tf's initial states.

    Each array has its own buffer, so that all can be donated to a jitted step.
    """
    return tuple(
        tuple(zero_state(config, num_rows) for _ in range(config.num_blocks))
        for _ in range(config.num_directions)
    )
