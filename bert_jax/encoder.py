# SPDX-License-Identifier: Apache-2.0
"""The encoder of Devlin et al. 2019: every layer it computes, in order."""

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
"""What is computed twice: nothing; what lies between the products, and the scores of
attention; or all of a block but its input. The less is kept, the more rows fit."""

_KEEPS_PRODUCTS = jax.checkpoint_policies.save_from_both_policies(
    jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    jax.checkpoint_policies.save_only_these_names(ATTENDED),
)


class Embeddings(nn.Module):
    """Layer 0: token + segment + position, normalised."""

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
        """Look the three tables up and normalise their sum."""
        token = self._table("token", self.config.vocab_size)
        segment = self._table("segment", self.config.num_segments)
        position = self._table("position", self.config.max_positions)
        states = token(ids) + segment(segment_ids)
        if positions is None:
            first_rows = position.embedding[: ids.shape[1]]
            states = states + jnp.broadcast_to(first_rows[None], states.shape)
        else:
            states = states + position(positions)
        states = LayerNorm(self.config, name="norm", dtype=self.dtype)(states)
        return Dropout(self.config.dropout_rate)(states, deterministic)

    def _table(self, name: str, rows: int) -> nn.Embed:
        init = published_init(self.config)
        return nn.Embed(rows, self.config.layer_dim, embedding_init=init, name=name)


class Mlp(nn.Module):
    """The feed-forward part of a block: widen, activate, narrow."""

    config: BertConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, states: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Apply to every token alone."""
        up = Dense(self.config, self.config.mlp_dim, name="up", dtype=self.dtype)
        activate = ACTIVATIONS[self.config.hidden_act]

        def narrow(down: nn.Module, hidden: Float[Array, "B T H"]) -> Array:
            return down(activate(hidden))

        # The widest array of a block is kept once, before the activation, and not also
        # after it and with its derivative.
        down = Dense(self.config, name="down", dtype=self.dtype)
        return nn.remat(narrow)(down, up(states))


class Block(nn.Module):
    """One transformer block, normalised after each half ("post-LN")."""

    config: BertConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        states: Float[Array, "B T D"],
        attended: AttentionMask,
        deterministic: bool = True,
    ) -> Float[Array, "B T D"]:
        """Attend and add; feed forward and add."""
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
      config: the shape of the model.
      dtype: of the computation; parameters stay float32.
      remat: what is computed again in the backward pass instead of kept, see `Remat`.
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
          sequences: where a row holds several texts, the number of each token's; no
            token sees one of another number. `positions` begin anew with each.

        Returns:
          One array a layer, layer 0 first. Values at padding mean nothing.
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
