# SPDX-License-Identifier: Apache-2.0
"""First weights from a model that exists: published, or of another run."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import bert_jax
import elmo_jax
from bert_jax.tokenizer import SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from elmo_jax.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

# What shapes no weights but those of words, so that a run may change it.
_FREE = (
    "dropout_rate",
    "attention_dropout_rate",
    "classifier_dropout_rate",
    "labels",
    "pad_id",
)

TOKEN_TABLE = ("embeddings", "token", "embedding")


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
    else:
        heads["softmax"] = softmax
        rows = _known_rows(path, words.ids, tokenizer.vocabulary.ids)
        if rows is not None:
            for leaf in ("weights", "bias"):
                heads = _with_rows(heads, fresh.heads, ("softmax", leaf), rows)
    return fresh.replace(encoder=given.encoder, heads=heads)


def continue_bert(
    path: Path, fresh: bert_jax.BertParams, tokenizer: Tokenizer
) -> bert_jax.BertParams:
    """Take a model's encoder and the heads that both have.

    Where the run has another vocabulary, the rows of pieces that both have are taken.

    Args:
      path: what `bert_jax.load` reads.
      fresh: weights of the run's own shape; what the model lacks stays as it is.
      tokenizer: of the run.

    Raises:
      ValueError: the model has another shape.
    """
    given, theirs = bert_jax.load(path)
    _check_shape(path, given.config, fresh.config)
    heads = dict(fresh.heads)
    for name in heads:
        if name in given.heads:
            heads[name] = given.heads[name]
        else:
            logger.warning("%s has no head %r; it is trained from nothing", path, name)
    encoder = given.encoder
    rows = _known_rows(path, piece_ids(tokenizer), piece_ids(theirs))
    if rows is not None:
        encoder = _with_rows(encoder, fresh.encoder, TOKEN_TABLE, rows)
        for leaf in ("bias", "decoder"):
            if "mlm" in given.heads and leaf in heads.get("mlm", {}):
                heads = _with_rows(heads, fresh.heads, ("mlm", leaf), rows)
    return fresh.replace(encoder=encoder, heads=heads)


def piece_ids(tokenizer: Tokenizer) -> Mapping[str, int]:
    """Return the id of every piece of a tokeniser."""
    if isinstance(tokenizer, WordPieceTokenizer):
        return tokenizer.backend.get_vocab()
    assert isinstance(tokenizer, SentencePieceTokenizer)  # there are two kinds
    model = tokenizer.model
    return {model.id_to_piece(index): index for index in range(tokenizer.vocab_size)}


def _known_rows(
    path: Path, ours: Mapping[str, int], theirs: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return our rows and theirs of all words in both, or None where all are alike."""
    if ours == theirs:
        return None
    known = [(ours[word], theirs[word]) for word in ours if word in theirs]
    logger.warning(
        "%s has another vocabulary: %d of %d entries are taken from it, the others are "
        "trained from nothing",
        path,
        len(known),
        len(ours),
    )
    rows = np.array(known, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _with_rows(
    given: Any, fresh: Any, place: tuple[str, ...], rows: tuple[np.ndarray, np.ndarray]
) -> Any:
    """Return `given` with the leaf at `place` taken from both, row by row."""
    name, *below = place
    if below:
        leaf = _with_rows(given[name], fresh[name], tuple(below), rows)
    else:
        ours, theirs = rows
        leaf = fresh[name].at[ours].set(given[name][theirs])
    return {**given, name: leaf}


def _check_shape(path: Path, theirs: Any, ours: Any) -> None:
    held, asked = (_fields(config) for config in (theirs, ours))
    if isinstance(ours, bert_jax.BertConfig):
        held = {**held, "vocab_size": asked["vocab_size"]}
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
    return {name: value for name, value in fields.items() if name not in _FREE}
