# SPDX-License-Identifier: Apache-2.0
"""Initial weights of a biLM from an existing one, published or of another run."""

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
    """Initialise from an existing model: the biLM, and softmax rows of common words.

    Args:
      path: what `elmo_jax.load` reads, with or without a softmax.
      fresh: randomly initialised weights of the run; kept where the model has none.
      words: the vocabulary of the run.

    Raises:
      ValueError: the model has a different shape.
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
