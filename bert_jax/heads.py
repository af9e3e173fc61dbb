# SPDX-License-Identifier: Apache-2.0
"""What BERT is trained through, and fine-tuned with: modules on top of the encoder."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from bert_jax.config import BertConfig
from bert_jax.dense import ACTIVATIONS, Dense, LayerNorm, published_init
from bert_jax.dropout import Dropout
from embed_jax.devices.precision import precision


class Pooler(nn.Module):
    """The first token's last layer through a tanh layer."""

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(self, last: Float[Array, "B T D"]) -> Float[Array, "B D"]:
        """Pool."""
        return jnp.tanh(Dense(self.config, name="dense", dtype=self.dtype)(last[:, 0]))


class MlmHead(nn.Module):
    """Scores of every piece of the vocabulary, for the states that are passed in.

    The transform uses the model's activation, not always GELU. With a tied decoder the
    token table is the output matrix and only the bias belongs to the head.
    """

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(
        self, states: Float[Array, "B M D"], token_table: Float[Array, "V D"]
    ) -> Float[Array, "B M V"]:
        """Score the states, float32."""
        states = Dense(self.config, name="transform", dtype=self.dtype)(states)
        states = ACTIVATIONS[self.config.hidden_act](states)
        states = LayerNorm(self.config, name="norm", dtype=self.dtype)(states)
        table = token_table
        if not self.config.tied_decoder:
            shape = (self.config.vocab_size, self.config.layer_dim)
            table = self.param("decoder", published_init(self.config), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.config.vocab_size,))
        logits = jnp.einsum(
            "BMD,VD->BMV",
            states,
            table.astype(self.dtype),
            precision=precision(self.dtype),
            preferred_element_type=jnp.float32,
        )
        return logits + bias[None, None]


class NspHead(nn.Module):
    """Two scores for a pair: 0, the second really follows the first; 1, it does not."""

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(self, pooled: Float[Array, "*B D"]) -> Float[Array, "*B 2"]:
        """Score the pooled vector."""
        return Dense(self.config, 2, name="dense", dtype=self.dtype)(pooled)


class Classifier(nn.Module):
    """Dropout and an affine map to one score a label.

    On the pooled vector it classifies sequences, on the last layer tokens.
    """

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(
        self, states: Float[Array, "*B D"], deterministic: bool = True
    ) -> Float[Array, "*B Y"]:
        """Score the labels."""
        rate = self.config.classifier_dropout_rate
        rate = self.config.dropout_rate if rate is None else rate
        states = Dropout(rate)(states, deterministic)
        num_labels = len(self.config.labels)
        return Dense(self.config, num_labels, name="dense", dtype=self.dtype)(states)


HEADS: dict[str, type[nn.Module]] = {
    "pooler": Pooler,
    "mlm": MlmHead,
    "nsp": NspHead,
    "sequence": Classifier,
    "token": Classifier,
}
"""The branches of `BertParams.heads`, and the module that reads each."""
