# SPDX-License-Identifier: Apache-2.0
"""Self-attention over a batch of padded rows."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bert_jax.config import BertConfig
from bert_jax.dense import Dense
from embed_jax.precision import precision

# Finite, so that a row of nothing but padding yields no NaN; exp() of it is zero.
MASKED = -1e30


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
        key_bias: Float[Array, "B 1 #T S"],
        deterministic: bool = True,
    ) -> Float[Array, "B T D"]:
        """Attend.

        Args:
          states: the layer below.
          key_bias: 0 at real keys, `MASKED` at padding, float32. One row for all
            queries, or one for each where they do not see the same keys.
          deterministic: False draws dropout from the "dropout" stream.

        Returns:
          The output product, before dropout and residual.
        """
        query, key, value = (
            _split_heads(Dense(self.config, name=name, dtype=self.dtype)(states), self)
            for name in ("query", "key", "value")
        )
        context = self.attend(query, key, value, key_bias, deterministic)
        merged = context.transpose(0, 2, 1, 3).reshape(states.shape)
        return Dense(self.config, name="out", dtype=self.dtype)(merged)

    def attend(
        self,
        query: Float[Array, "B N T K"],
        key: Float[Array, "B N S K"],
        value: Float[Array, "B N S K"],
        key_bias: Float[Array, "B 1 #T S"],
        deterministic: bool,
    ) -> Float[Array, "B N T K"]:
        """Average the values by softmax of the scaled scores, in float32."""
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
        # Each probability has its own coin: one mask for all heads, Linen's default
        # elsewhere, would not be the published model.
        dropped = nn.Dropout(self.config.attention_dropout_rate)(
            unnormalised, deterministic=deterministic
        )
        context = jnp.einsum(
            "BNTS,BNSK->BNTK",
            dropped.astype(self.dtype),
            value,
            precision=precision(self.dtype),
            preferred_element_type=jnp.float32,
        )
        return (context / total).astype(self.dtype)


def _split_heads(
    states: Float[Array, "B T D"], module: SelfAttention
) -> Float[Array, "B N T K"]:
    heads = (module.config.num_heads, module.config.head_dim)
    return states.reshape(*states.shape[:2], *heads).transpose(0, 2, 1, 3)
