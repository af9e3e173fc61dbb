# SPDX-License-Identifier: Apache-2.0
"""Layer 0, context-free word vectors: from characters by a CNN, or from a table."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from elmo_jax.config import NUM_CHARACTERS, CharCnnConfig, ElmoConfig
from elmo_jax.convolution import highest_responses
from embed_jax.devices.precision import precision

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}


class CharCnn(nn.Module):
    """The character CNN: convolutions, max pooling, highway layers and a projection.

    Kim et al. 2015, as implemented in bilm-tf.

    Attributes:
      config: sizes of the convolutions.
      projection_dim: width of the result.
      dtype: of the computation; parameters stay float32.
    """

    config: CharCnnConfig
    projection_dim: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, characters: Int[Array, "U C"]) -> Float[Array, "U P"]:
        """Return the vectors of words, rows of characters from `character_rows`."""
        table = self.param(
            "embedding",
            symmetric_uniform(1.0),
            (NUM_CHARACTERS, self.config.embedding_dim),
        )
        # 0 is no character but the absence of a word.
        table = jnp.pad(table, ((1, 0), (0, 0)))
        states = self._convolve(table.astype(self.dtype)[characters])
        for index in range(self.config.num_highways):
            states = Highway(self.dtype, name=f"highway_{index}")(states)
        if self.config.num_filters == self.projection_dim:
            return states
        return nn.Dense(
            self.projection_dim,
            dtype=self.dtype,
            precision=precision(self.dtype),
            kernel_init=scaled_normal(self.config.num_filters),
            name="projection",
        )(states)

    def _convolve(self, embedded: Float[Array, "U C E"]) -> Float[Array, "U filters"]:
        activation = ACTIVATIONS[self.config.activation]
        maxima = []
        for index, (width, number) in enumerate(self.config.filters):
            fan_in = width * self.config.embedding_dim
            is_relu = self.config.activation == "relu"
            init = symmetric_uniform(0.05) if is_relu else scaled_normal(fan_in)
            filters = Filters(width, number, init, name=f"convolution_{index}")
            # The activations rise, so the maximum may be taken first.
            maxima.append(activation(filters(embedded)))
        return jnp.concatenate(maxima, axis=-1)


class Filters(nn.Module):
    """The convolution filters of one width, with max pooling over positions."""

    width: int
    number: int
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, embedded: Float[Array, "U C E"]) -> Float[Array, "U number"]:
        """Return the maximal response of each filter, in the dtype of `embedded`."""
        shape = self.width, embedded.shape[-1], self.number
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param(
            "bias", nn.initializers.zeros_init(), (self.number,), jnp.float32
        )
        kernel, bias = (part.astype(embedded.dtype) for part in (kernel, bias))
        # The bias is the same at every position.
        return highest_responses(embedded, kernel) + bias[None]


class Highway(nn.Module):
    """One highway layer: gate · relu(transform) + (1 - gate) · input.

    The published files call the transform gate "carry", its opposite.
    """

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, states: Float[Array, "U F"]) -> Float[Array, "U F"]:
        """Apply the layer; the activation is relu in every published model."""
        width = states.shape[-1]
        gate = jax.nn.sigmoid(self._dense("gate", width, bias=-2.0)(states))
        transformed = jax.nn.relu(self._dense("transform", width, bias=0.0)(states))
        return gate * transformed + (1 - gate) * states

    def _dense(self, name: str, width: int, bias: float) -> nn.Dense:
        return nn.Dense(
            width,
            dtype=self.dtype,
            precision=precision(self.dtype),
            kernel_init=scaled_normal(width),
            bias_init=nn.initializers.constant(bias),
            name=name,
        )


class WordTable(nn.Module):
    """The embedding table of a model without a character CNN."""

    config: ElmoConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, rows: Int[Array, " U"]) -> Float[Array, "U P"]:
        """Look up the rows."""
        shape = self.config.vocab_size, self.config.projection_dim
        table = self.param(
            "embedding", nn.initializers.glorot_uniform(), shape, jnp.float32
        )
        return table[rows].astype(self.dtype)


def word_reader(config: ElmoConfig, dtype: jnp.dtype) -> CharCnn | WordTable:
    """Return the module that computes layer 0, named as its weights are."""
    if config.char_cnn:
        width = config.projection_dim
        return CharCnn(config.char_cnn, width, dtype, name="char_cnn")
    return WordTable(config, dtype, name="words")


def symmetric_uniform(bound: float) -> nn.initializers.Initializer:
    """Return an initialiser that draws uniformly from -bound to bound."""

    def init(
        key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
    ) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def scaled_normal(fan_in: int) -> nn.initializers.Initializer:
    """Return an initialiser that draws from a normal with deviation 1/√fan_in."""
    return nn.initializers.normal(fan_in**-0.5)
