# SPDX-License-Identifier: Apache-2.0
"""The BERT encoder (Devlin et al. 2019), which returns all its layers."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bert_jax.attention import ATTENDED, AttentionMask, SelfAttention, attention_mask
from bert_jax.config import BertConfig
from bert_jax.dense import ACTIVATIONS, Dense, LayerNorm, published_init
from bert_jax.dropout import Dropout
from embed_jax.devices.platform import target_platform

Remat = Literal["none", "elementwise", "blocks"]
"""Rematerialisation in the backward pass: nothing; the values between the matrix
products and the attention scores; or whole blocks, of which only the input is kept."""

_KEEPS_PRODUCTS = jax.checkpoint_policies.save_from_both_policies(
    jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    jax.checkpoint_policies.save_only_these_names(ATTENDED),
)


class Embeddings(nn.Module):
    """Layer 0: the sum of token, segment and position embeddings, normalised."""

    config: BertConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        ids: Int[Array, "B T"],
        segment_ids: Int[Array, "B T"],
        positions: Int[Array, "B T"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B T D"]:
        """Return the normalised sum of the three embeddings, with dropout."""
        token = self._table("token", self.config.vocab_size)
        segment = self._table("segment", self.config.num_segments)
        position = self._table("position", self.config.max_positions)
        # In float32, though the tables may be of 16 bits.
        states = _widened(token(ids)) + _widened(segment(segment_ids))
        if positions is None:
            first_rows = _widened(position.embedding[: ids.shape[1]])
            states = states + jnp.broadcast_to(first_rows[None], states.shape)
        else:
            states = states + _widened(position(positions))
        states = LayerNorm(self.config, name="norm", dtype=self.dtype)(states)
        return Dropout(self.config.dropout_rate)(states, deterministic)

    def _table(self, name: str, rows: int) -> nn.Embed:
        init = published_init(self.config)
        return nn.Embed(rows, self.config.layer_dim, embedding_init=init, name=name)


def _widened(values: Array) -> Array:
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


class Mlp(nn.Module):
    """The feed-forward part of a block: two dense layers with an activation between."""

    config: BertConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, states: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Apply to each token separately."""
        up = Dense(self.config, self.config.mlp_dim, name="up", dtype=self.dtype)
        activate = ACTIVATIONS[self.config.hidden_act]

        def narrow(down: nn.Module, hidden: Float[Array, "B T H"]) -> Array:
            return down(activate(hidden))

        # The widest array of a block is kept once, before the activation, and not also
        # after it and with its derivative.
        down = Dense(self.config, name="down", dtype=self.dtype)
        return nn.remat(narrow)(down, up(states))


class Block(nn.Module):
    """One transformer block, with layer normalisation after each half ("post-LN")."""

    config: BertConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        states: Float[Array, "B T D"],
        attended: AttentionMask,
        deterministic: bool = True,
    ) -> Float[Array, "B T D"]:
        """Apply attention and the feed-forward part, each with a residual."""
        dropout = Dropout(self.config.dropout_rate)
        attention = SelfAttention(self.config, self.dtype, name="attention")
        update = dropout(attention(states, attended, deterministic), deterministic)
        states = self._normalise(states + update, "attention_norm")
        update = Mlp(self.config, self.dtype, name="mlp")(states)
        update = dropout(update, deterministic)
        return self._normalise(states + update, "mlp_norm")

    def _normalise(
        self, states: Float[Array, "B T D"], name: str
    ) -> Float[Array, "B T D"]:
        normed = LayerNorm(self.config, name=name, dtype=self.dtype)(states)
        if target_platform() != "cpu":
            return normed
        # Without the barrier XLA:CPU does not keep the residual stream: it recomputes
        # it, from the embeddings up, in the element-wise part of every later block.
        # See docs/decisions/encoder-speed.md. A TPU moves 13 % less without it.
        return jax.lax.optimization_barrier(normed)


class Encoder(nn.Module):
    """BERT up to a chosen layer.

    Attributes:
      config: of the model.
      dtype: of the computation; parameters stay float32.
      remat: values to recompute in the backward pass, see `Remat`.
    """

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)
    remat: Remat = "none"

    @nn.compact
    def __call__(
        self,
        ids: Int[Array, "B T"],
        segment_ids: Int[Array, "B T"],
        mask: Bool[Array, "B T"],
        positions: Int[Array, "B T"] | None = None,
        highest_layer: int | None = None,
        deterministic: bool = True,
        sequences: Int[Array, "B T"] | None = None,
    ) -> tuple[Float[Array, "B T D"], ...]:
        """Compute layers 0 to `highest_layer`.

        Args:
          ids: word pieces.
          segment_ids: 0 for the first sentence of a pair, 1 for the second.
          mask: True at real tokens.
          positions: rows of the position table; by default 0, 1, 2, …
          highest_layer: blocks above it are not run; by default all are.
          deterministic: False draws dropout from the "dropout" stream.
          sequences: for packed rows, the number of each token's text; tokens attend
            only to their own text. `positions` must restart with each text.

        Returns:
          One array a layer, layer 0 first. Values at padding are undefined.
        """
        embeddings = Embeddings(self.config, self.dtype, name="embeddings")
        states = embeddings(ids, segment_ids, positions, deterministic)
        attended = attention_mask(mask, sequences)
        layers = [states]
        block_class = Block
        if self.remat != "none":
            policy = _KEEPS_PRODUCTS if self.remat == "elementwise" else None
            block_class = nn.remat(Block, static_argnums=(3,), policy=policy)
        # Initialisation visits every block, whatever is asked of it.
        last = self.config.num_blocks if highest_layer is None else highest_layer
        for index in range(self.config.num_blocks if self.is_initializing() else last):
            block = block_class(self.config, self.dtype, name=f"layer_{index}")
            layers.append(block(layers[-1], attended, deterministic))
        return tuple(layers)
