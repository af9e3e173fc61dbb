# SPDX-License-Identifier: Apache-2.0
"""A BERT with a classifier of words or of texts, saved in Hugging Face's format."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import bert_jax
from bert_jax import BertParams, BertTokens, Tokenizer
from bert_jax.heads import HEADS
from bert_jax.rows import collate
from embed_jax.devices.random_keys import random_key
from embed_jax.layers.scalar_mix import ScalarMix
from train.families.bert.sequence_examples import sequence_rows
from train.families.bert.token_examples import token_rows
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import ClassifiedRow
from train.tasks.finetune.classifier import Example, Task, Weights
from train.tasks.finetune.finetuning import Finetuning


class BertClassifier:
    """A `Classifier`: a dense layer on the pooled vector, or on first pieces of words.

    Attributes:
      task: "token" or "sequence".
      labels: names of the labels.
      longest: maximal tokens of a row.
      weights: of encoder and heads.
    """

    def __init__(
        self,
        params: BertParams,
        tokenizer: Tokenizer,
        *,
        max_length: int | None = None,
        context: int | Literal["document"] = 0,
    ) -> None:
        """Use a model with a "token" or a "sequence" head.

        Args:
          params: what `fresh_classifier` or `bert_jax.load` gave.
          tokenizer: of the model.
          max_length: longest row in tokens; by default, and at most, the model's
            maximum.
          context: pieces of the neighbouring sentences to add as context where words
            are labelled, or "document".

        Raises:
          ValueError: the model has no such head.
        """
        found = [task for task in ("token", "sequence") if task in params.heads]
        if not found:
            raise ValueError("this model has no classifier; fine-tune it first")
        self.task: Task = cast(Task, found[0])
        self.labels: tuple[str, ...] = params.config.labels
        self.weights: Weights = {"encoder": params.encoder, "head": params.heads}
        self._config = params.config
        self._tokenizer = tokenizer
        longest = min(tokenizer.max_length, params.config.max_positions)
        self._max_length = longest if max_length is None else min(max_length, longest)
        self.longest: int | None = self._max_length
        self._context = self._max_length if context == "document" else context

    def rows(self, examples: Sequence[Example]) -> list[ClassifiedRow]:
        """Cut examples into rows."""
        label_ids = {label: number for number, label in enumerate(self.labels)}
        if self.task == "token":
            return token_rows(
                self._tokenizer,
                cast(Sequence[TaggedSentence], examples),
                label_ids,
                max_length=self._max_length,
                context=self._context,
            )
        return sequence_rows(
            self._tokenizer,
            cast(Sequence[LabelledText], examples),
            label_ids,
            max_length=self._max_length,
        )

    def collate(
        self, rows: Sequence[ClassifiedRow], length: int, size: int
    ) -> BertTokens:
        """Pad rows into a batch."""
        contents = [row.content for row in rows]
        return collate(contents, self._tokenizer.pad_id, length=length, size=size)

    def logits(
        self, weights: Weights, tokens: BertTokens, dropout_key: Array | None = None
    ) -> Float[Array, "B *T Y"]:
        """Return the logits of the labels; a key turns dropout on."""
        params = BertParams(
            encoder=weights["encoder"], heads=weights["head"], config=self._config
        )
        encoder_key = head_key = None
        if dropout_key is not None:
            encoder_key, head_key = jax.random.split(dropout_key)
        states = bert_jax.apply_encoder(params, tokens, dropout_key=encoder_key)[-1]
        if self.task == "sequence":
            pooler = HEADS["pooler"](self._config)
            states = pooler.apply({"params": params.heads["pooler"]}, states)
        scores = HEADS[self.task](self._config).apply(
            {"params": params.heads[self.task]},
            states,
            deterministic=head_key is None,
            rngs=None if head_key is None else {"dropout": head_key},
        )
        return cast(Array, scores)

    def mixes(self, weights: Weights) -> Sequence[ScalarMix]:
        """Return none: the last layer is classified."""
        del weights
        return ()

    def save(self, directory: Path, weights: Weights) -> None:
        """Write a Hugging Face directory."""
        params = BertParams(
            encoder=weights["encoder"], heads=weights["head"], config=self._config
        )
        bert_jax.save(directory, params, self._tokenizer)


def make_classifier(
    config: Finetuning, model: str, labels: Sequence[str]
) -> BertClassifier:
    """Load a BERT and add a newly initialised classifier.

    Raises:
      ValueError: see `bert_jax.load`.
    """
    params, tokenizer = bert_jax.load(model)
    key = random_key(config.seed)
    return BertClassifier(
        fresh_classifier(key, params, config.task, labels, config.dropout_rate),
        tokenizer,
        max_length=config.max_length,
        context=config.context,
    )


def load_bert_classifier(path: str | os.PathLike[str]) -> BertClassifier:
    """Load a saved classifier, or any published BERT with one.

    Raises:
      ValueError: see `bert_jax.load`; or the model has no classifier.
    """
    return BertClassifier(*bert_jax.load(path))


def fresh_classifier(
    key: jax.Array,
    params: BertParams,
    task: Task,
    labels: Sequence[str],
    dropout_rate: float | None = None,
) -> BertParams:
    """Add a new classifier to an encoder; of its other heads only the pooler is kept.

    Args:
      key: for the new weights, initialised as published.
      params: a pretrained model. If it has no pooler, texts get a new one.
      task: "token" or "sequence".
      labels: names of the labels.
      dropout_rate: of the encoder and before the classifier; by default the model's
        own.
    """
    rates: Mapping[str, float] = {}
    if dropout_rate is not None:
        rates = {
            "dropout_rate": dropout_rate,
            "attention_dropout_rate": dropout_rate,
            "classifier_dropout_rate": dropout_rate,
        }
    config = dataclasses.replace(params.config, labels=tuple(labels), **rates)
    state = jnp.zeros((1, 1, config.layer_dim))
    pooler_key, head_key = jax.random.split(key)
    heads = {}
    if task == "sequence":
        fresh = HEADS["pooler"](config).init(pooler_key, state)["params"]
        heads["pooler"] = params.heads.get("pooler", fresh)
    heads[task] = HEADS[task](config).init(head_key, state)["params"]
    return BertParams(encoder=params.encoder, heads=heads, config=config)
