# SPDX-License-Identifier: Apache-2.0
"""First weights from a model that exists: published, or of another run."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import bert_jax
import elmo_jax
from elmo_jax.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

# What does not shape the weights, so that a run may change it.
_RATES = ("dropout_rate", "attention_dropout_rate", "classifier_dropout_rate", "labels")


def continue_elmo(
    path: Path, fresh: elmo_jax.ElmoParams, words: Vocabulary
) -> elmo_jax.ElmoParams:
    """Take the biLM of a model, and of its softmax the rows of words that it knows.

    Args:
      path: what `elmo_jax.load` reads, with or without a softmax.
      fresh: weights of the run's own shape; what the model lacks stays as it is.
      words: the vocabulary of the run.

    Raises:
      ValueError: the model has another shape.
    """
    given, tokenizer = elmo_jax.load(path)
    _check_shape(path, given.config, fresh.config)
    heads = dict(fresh.heads)
    softmax = given.heads.get("softmax")
    if softmax is None or tokenizer.vocabulary is None:
        logger.warning("%s has no softmax; it is trained from nothing", path)
    elif tokenizer.vocabulary.words == words.words:
        heads["softmax"] = softmax
    else:
        theirs = tokenizer.vocabulary.ids
        known = [(ours, theirs[w]) for ours, w in enumerate(words.words) if w in theirs]
        logger.warning(
            "%s has another vocabulary: %d of %d words are taken from it, the others "
            "are trained from nothing",
            path,
            len(known),
            len(words),
        )
        ours, others = (np.array(side, int) for side in zip(*known, strict=True))
        heads["softmax"] = {
            name: fresh.heads["softmax"][name].at[ours].set(softmax[name][others])
            for name in ("weights", "bias")
        }
    return fresh.replace(encoder=given.encoder, heads=heads)


def continue_bert(path: Path, fresh: bert_jax.BertParams) -> bert_jax.BertParams:
    """Take a model's encoder and the heads that both have.

    Args:
      path: what `bert_jax.load` reads.
      fresh: weights of the run's own shape; what the model lacks stays as it is.

    Raises:
      ValueError: the model has another shape.
    """
    given, _ = bert_jax.load(path)
    _check_shape(path, given.config, fresh.config)
    heads = dict(fresh.heads)
    for name in heads:
        if name in given.heads and _shapes(given.heads[name]) == _shapes(heads[name]):
            heads[name] = given.heads[name]
        else:
            logger.warning("%s has no head %r; it is trained from nothing", path, name)
    return fresh.replace(encoder=given.encoder, heads=heads)


def _check_shape(path: Path, theirs: Any, ours: Any) -> None:
    held, asked = (_fields(config) for config in (theirs, ours))
    different = [
        f"{name} {held[name]!r}, not {asked[name]!r}"
        for name in asked
        if held[name] != asked[name]
    ]
    if different:
        raise ValueError(
            f"{path} has another shape than the run's model: {'; '.join(different)}"
        )


def _fields(config: Any) -> Mapping[str, Any]:
    fields = dataclasses.asdict(config)
    return {name: value for name, value in fields.items() if name not in _RATES}


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(tree)]
