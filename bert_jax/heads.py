# SPDX-License-Identifier: Apache-2.0
"""BERT's heads: pooler, MLM, NSP, classifier, multiple choice, answers in a text."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from bert_jax.config import BertConfig
from bert_jax.dense import ACTIVATIONS, Dense, LayerNorm, published_init
from bert_jax.dropout import Dropout
from embed_jax.devices.precision import precision


class Pooler(nn.Module):
    """A dense layer with tanh on the last layer of the first token."""

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(self, last: Float[Array, "B T D"]) -> Float[Array, "B D"]:
        """Return the pooled vector of each row."""
        return jnp.tanh(Dense(self.config, name="dense", dtype=self.dtype)(last[:, 0]))


class MlmHead(nn.Module):
    """The masked-LM head: scores of all vocabulary pieces for the given states.

    The transform uses the model's activation, not always GELU. With a tied decoder the
    token table is the output matrix, and only the bias belongs to the head.
    """

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(
        self, states: Float[Array, "B M D"], token_table: Float[Array, "V D"]
    ) -> Float[Array, "B M V"]:
        """Return the logits of the states, float32."""
        states = Dense(self.config, name="transform", dtype=self.dtype)(states)
        states = ACTIVATIONS[self.config.hidden_act](states)
        states = LayerNorm(self.config, name="norm", dtype=self.dtype)(states)
        table = token_table
        if not self.config.tied_decoder:
            shape = (self.config.vocab_size, self.config.layer_dim)
            table = self.param(
                "decoder", published_init(self.config), shape, jnp.float32
            )
        bias = self.param(
            "bias", nn.initializers.zeros, (self.config.vocab_size,), jnp.float32
        )
        logits = jnp.einsum(
            "BMD,VD->BMV",
            states,
            table.astype(self.dtype),
            precision=precision(self.dtype),
            preferred_element_type=jnp.float32,
        )
        return logits + bias.astype(jnp.float32)[None, None]


class NspHead(nn.Module):
    """The next-sentence head: logit 0, the second text follows; 1, it does not."""

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(self, pooled: Float[Array, "*B D"]) -> Float[Array, "*B 2"]:
        """Return the logits of the pooled vectors."""
        return Dense(self.config, 2, name="dense", dtype=self.dtype)(pooled)


class Classifier(nn.Module):
    """A classification head: dropout and a dense layer, one logit a label.

    It classifies sequences from the pooled vector, or tokens from the last layer.
    """

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(
        self, states: Float[Array, "*B D"], deterministic: bool = True
    ) -> Float[Array, "*B Y"]:
        """Return the logits of the labels."""
        states = _with_dropout(self.config, states, deterministic)
        num_labels = len(self.config.labels)
        return Dense(self.config, num_labels, name="dense", dtype=self.dtype)(states)


class ChoiceHead(nn.Module):
    """The multiple-choice head: one score from the pooled vector of a pair.

    Each choice of a question makes a row of its own, the question and that choice.
    """

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(
        self, pooled: Float[Array, "*B D"], deterministic: bool = True
    ) -> Float[Array, "*B"]:
        """Return the score of each row."""
        pooled = _with_dropout(self.config, pooled, deterministic)
        return Dense(self.config, 1, name="dense", dtype=self.dtype)(pooled)[..., 0]


class AnswerHead(nn.Module):
    """The question-answering head: logits of where in the row the answer lies."""

    config: BertConfig
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(self, states: Float[Array, "*B D"]) -> Float[Array, "*B 2"]:
        """Return the logits of each token: 0, the answer starts; 1, it ends there."""
        return Dense(self.config, 2, name="dense", dtype=self.dtype)(states)


def _with_dropout(
    config: BertConfig, states: Float[Array, "*B D"], deterministic: bool
) -> Float[Array, "*B D"]:
    rate = config.classifier_dropout_rate
    rate = config.dropout_rate if rate is None else rate
    return Dropout(rate)(states, deterministic)


HEADS: dict[str, type[nn.Module]] = {
    "pooler": Pooler,
    "mlm": MlmHead,
    "nsp": NspHead,
    "sequence": Classifier,
    "token": Classifier,
    "multiple_choice": ChoiceHead,
    "question_answering": AnswerHead,
}
"""The branches of `BertParams.heads`, and the module that uses each."""

ARCHITECTURES = {
    "sequence": "BertForSequenceClassification",
    "token": "BertForTokenClassification",
    "multiple_choice": "BertForMultipleChoice",
    "question_answering": "BertForQuestionAnswering",
}
"""The class in `transformers` that has the head of a task. A model has one at most:
three of them have the same name in a file, "classifier"."""

LABELLED = {"sequence", "token"}
"""The heads whose classes are `config.labels`."""
