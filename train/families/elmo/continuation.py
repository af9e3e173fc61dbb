# SPDX-License-Identifier: Apache-2.0
"""First weights of a biLM from one that exists: published, or of another run."""

import logging
from pathlib import Path

import elmo_jax
from elmo_jax.vocabulary import Vocabulary
from train.families.continuation import check_shape, known_rows, with_rows

logger = logging.getLogger(__name__)

# What shapes no weights, so that a run may change it.
_FREE = ("dropout_rate",)


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
    check_shape(path, given.config, fresh.config, _FREE)
    heads = dict(fresh.heads)
    softmax = given.heads.get("softmax")
    if softmax is None or tokenizer.vocabulary is None:
        logger.warning("%s has no softmax; it is trained from nothing", path)
    else:
        heads["softmax"] = softmax
        rows = known_rows(path, words.ids, tokenizer.vocabulary.ids)
        if rows is not None:
            for leaf in ("weights", "bias"):
                heads = with_rows(heads, fresh.heads, ("softmax", leaf), rows)
    return fresh.replace(encoder=given.encoder, heads=heads)
