# SPDX-License-Identifier: Apache-2.0
"""Self-attention over a batch of padded rows."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int

from bert_jax import cudnn_attention as cudnn
from bert_jax import fused_attention as fused
from bert_jax.config import BertConfig
from bert_jax.dense import Dense
from bert_jax.dropout import Dropout, row_seeds
from embed_jax.devices.any_mesh import mesh_of
from embed_jax.devices.platform import target_platform
from embed_jax.devices.precision import precision

ATTENDED = "attended"
"""The `jax.ad_checkpoint.checkpoint_name` of attention's output."""


class AttentionMask(flax.struct.PyTreeNode):
    """The attention mask of a batch.

    Attributes:
      sequences: 0 at padding; in packed rows the number of each token's text.
      bias: 0 where a query attends to a key and `MASKED` elsewhere, float32. One row
        for all queries, or one for each query where their keys differ.
      packed: whether tokens attend only to tokens of the same text.
    """

    sequences: Int[Array, "B T"]
    bias: Float[Array, "B 1 #T S"]
    packed: bool = flax.struct.field(pytree_node=False)


def attention_mask(
    mask: Bool[Array, "B T"], sequences: Int[Array, "B T"] | None
) -> AttentionMask:
    """Make the mask for attention within a row, or within each text of a packed row."""
    seen = mask[:, None, None]
    if sequences is None:
        numbers = mask.astype(jnp.int32)
    else:
        numbers = jnp.where(mask, sequences, 0)
        alike = sequences[:, :, None] == sequences[:, None, :]
        seen = seen & alike[:, None]
    bias = jnp.where(seen, jnp.float32(0), jnp.float32(fused.MASKED))
    return AttentionMask(numbers, bias, sequences is not None)


class SelfAttention(nn.Module):
    """Multi-head attention of every token to every real token of its row.

    Vaswani et al. 2017, section 3.2.2, with biases on all four products. The mask acts
    on the keys alone, as published: queries at padding are computed and ignored.
    """

    config: BertConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        states: Float[Array, "B T D"],
        attended: AttentionMask,
        deterministic: bool = True,
    ) -> Float[Array, "B T D"]:
        """Compute self-attention.

        Args:
          states: the output of the layer below.
          attended: the attention mask.
          deterministic: False draws dropout from the "dropout" stream.

        Returns:
          The output projection, before dropout and residual.
        """
        query, key, value = (
            Dense(self.config, name=name, dtype=self.dtype)(states)
            for name in ("query", "key", "value")
        )
        if self._has_kernel(states):
            merged = self._attend_fused(query, key, value, attended, deterministic)
        elif self._has_cudnn(states, deterministic):
            sees = attended.bias == 0
            merged = cudnn.cudnn_attention(
                query, key, value, sees, self.config.head_dim
            )
        else:
            query, key, value = map(self._split_heads, (query, key, value))
            context = self.attend(query, key, value, attended.bias, deterministic)
            merged = context.transpose(0, 2, 1, 3).reshape(states.shape)
        merged = checkpoint_name(merged, ATTENDED)
        return Dense(self.config, name="out", dtype=self.dtype)(merged)

    def _has_kernel(self, states: Float[Array, "B T D"]) -> bool:
        """Return whether to use the TPU kernel; float32 uses the exact plain form."""
        return (
            target_platform() == "tpu"
            and fused.divides(mesh_of(states), len(states))
            and self.dtype == jnp.bfloat16
            and fused.fits(states.shape[1], states.shape[2], self.config.head_dim)
        )

    def _has_cudnn(self, states: Float[Array, "B T D"], deterministic: bool) -> bool:
        """Return whether to use the cuDNN kernel, which lacks the published dropout."""
        return (
            target_platform() == "gpu"
            and cudnn.is_there()
            and (deterministic or not self.config.attention_dropout_rate)
            and cudnn.fits(self.dtype, states.shape[1], self.config.head_dim)
        )

    def _attend_fused(
        self,
        query: Array,
        key: Array,
        value: Array,
        attended: AttentionMask,
        deterministic: bool,
    ) -> Float[Array, "B T D"]:
        rate = 0.0 if deterministic else self.config.attention_dropout_rate
        seeds = jnp.zeros((len(query), 2), jnp.uint32)
        if rate:
            seeds = row_seeds(self.make_rng("dropout"), len(query))
        form = fused.Form(self.config.head_dim, attended.packed, rate)
        return fused.fused_attention(query, key, value, attended.sequences, seeds, form)

    def attend(
        self,
        query: Float[Array, "B N T K"],
        key: Float[Array, "B N S K"],
        value: Float[Array, "B N S K"],
        key_bias: Float[Array, "B 1 #T S"],
        deterministic: bool,
    ) -> Float[Array, "B N T K"]:
        """Return softmax(QKᵀ/√K + bias)V, the softmax in float32."""
        query = query * (self.config.head_dim**-0.5)
        scores = jnp.einsum(
            "BNTK,BNSK->BNTS",
            query,
            key,
            precision=precision(self.dtype),
            preferred_element_type=jnp.float32,
        )
        scores = scores + jnp.broadcast_to(key_bias, scores.shape)
        scores = scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
        # The softmax divides after the product, K columns instead of S: the same
        # sum, and 5 to 20 % of the time of short rows on CPU.
        unnormalised = jnp.exp(scores)
        total = unnormalised.sum(axis=-1, keepdims=True)
        # Each probability has its own coin, for every head: so it was published.
        dropped = Dropout(self.config.attention_dropout_rate)(
            unnormalised, deterministic
        )
        context = jnp.einsum(
            "BNTS,BNSK->BNTK",
            dropped.astype(self.dtype),
            value,
            precision=precision(self.dtype),
            preferred_element_type=jnp.float32,
        )
        return (context / total).astype(self.dtype)

    def _split_heads(self, states: Float[Array, "B T D"]) -> Float[Array, "B N T K"]:
        heads = (self.config.num_heads, self.config.head_dim)
        return states.reshape(*states.shape[:2], *heads).transpose(0, 2, 1, 3)
