# SPDX-License-Identifier: Apache-2.0
"""Initial weights of a biLM from an existing one, published or of another run."""

import logging
from pathlib import Path
from typing import Any

import elmo_jax
from elmo_jax.vocabulary import Vocabulary
from train.families.continuation import check_shape, known_rows, with_rows

logger = logging.getLogger(__name__)

# What shapes no weights but those of words, so that a run may change it.
_FREE = ("dropout_rate", "vocab_size")

_INPUT = ("words", "embedding")


def continue_elmo(
    path: Path,
    fresh: elmo_jax.ElmoParams,
    words: Vocabulary,
    *,
    reset_state: bool = False,
) -> elmo_jax.ElmoParams:
    """Initialise from an existing model: the biLM, and the rows of common words.

    Args:
      path: what `elmo_jax.load` reads, with or without a softmax.
      fresh: randomly initialised weights of the run; kept where the model has none.
      words: the vocabulary of the run.
      reset_state: whether the run begins each sentence from zeros. If so, the model's
        states before a sentence are not taken: serving would begin otherwise than what
        was trained.

    Raises:
      ValueError: the model has a different shape.
    """
    given, tokenizer = elmo_jax.load(path)
    by_ids = given.config.char_cnn is None
    if by_ids != (fresh.config.char_cnn is None):
        reads, wanted = "their characters", "characters"
        if by_ids:
            reads, wanted = "their ids", "ids"
        raise ValueError(
            f"{path} reads words by {reads}; continue it with --word-input {wanted}"
        )
    check_shape(path, given.config, fresh.config, _FREE)
    heads = _softmax_of(path, given, fresh, tokenizer.vocabulary)
    encoder = given.encoder
    if tokenizer.vocabulary is not None and (by_ids or heads is not None):
        rows = known_rows(path, words.ids, tokenizer.vocabulary.ids)
        if rows is not None and by_ids:
            encoder = with_rows(encoder, fresh.encoder, _INPUT, rows)
        if rows is not None and heads is not None:
            for leaf in heads["softmax"]:
                heads = with_rows(heads, fresh.heads, ("softmax", leaf), rows)
    start = given.start
    if start is not None and reset_state:
        start = None
        logger.warning(
            "%s has states before a sentence (start.hdf5), which are left out: this "
            "run begins each sentence from zeros, and is served so",
            path,
        )
    return fresh.replace(
        encoder=encoder, heads=fresh.heads if heads is None else heads, start=start
    )


def _softmax_of(
    path: Path,
    given: elmo_jax.ElmoParams,
    fresh: elmo_jax.ElmoParams,
    theirs: Vocabulary | None,
) -> dict[str, Any] | None:
    """Return the heads of a model, or None and say why they cannot be taken."""
    if "softmax" not in given.heads:
        logger.warning("%s has no softmax; it is trained from nothing", path)
        return None
    if theirs is None:
        logger.warning(
            "%s has a softmax but no vocab.txt, so nothing tells which words its rows "
            "are, and it is trained from nothing; put the vocabulary beside it",
            path,
        )
        return None
    if given.has_tied_softmax != fresh.has_tied_softmax:
        is_one, wanted = "are not", "ids"
        if given.has_tied_softmax:
            is_one, wanted = "are", "tied_ids"
        raise ValueError(
            f"{path}: the softmax's weights {is_one} the word table; continue it with "
            f"--word-input {wanted}"
        )
    return dict(given.heads)
