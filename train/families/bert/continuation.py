# SPDX-License-Identifier: Apache-2.0
"""Initial weights of a BERT from an existing one, published or of another run."""

import logging
from collections.abc import Mapping
from pathlib import Path

import bert_jax
from bert_jax.tokenizer import SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from train.families.continuation import check_shape, known_rows, with_rows

logger = logging.getLogger(__name__)

# What shapes no weights but those of pieces, so that a run may change it.
_FREE = (
    "dropout_rate",
    "attention_dropout_rate",
    "classifier_dropout_rate",
    "labels",
    "pad_id",
    "vocab_size",
)

TOKEN_TABLE = ("embeddings", "token", "embedding")


def continue_bert(
    path: Path, fresh: bert_jax.BertParams, tokenizer: Tokenizer
) -> bert_jax.BertParams:
    """Initialise from an existing model: its encoder and the heads that both have.

    If the vocabularies differ, only the rows of common pieces are taken.

    Args:
      path: what `bert_jax.load` reads.
      fresh: randomly initialised weights of the run; kept where the model has none.
      tokenizer: of the run.

    Raises:
      ValueError: the model has a different shape.
    """
    given, theirs = bert_jax.load(path)
    check_shape(path, given.config, fresh.config, _FREE)
    heads = dict(fresh.heads)
    for name in heads:
        if name in given.heads:
            heads[name] = given.heads[name]
        else:
            logger.warning("%s has no head %r; it is trained from nothing", path, name)
    encoder = given.encoder
    rows = known_rows(path, piece_ids(tokenizer), piece_ids(theirs))
    if rows is not None:
        encoder = with_rows(encoder, fresh.encoder, TOKEN_TABLE, rows)
        for leaf in ("bias", "decoder"):
            if "mlm" in given.heads and leaf in heads.get("mlm", {}):
                heads = with_rows(heads, fresh.heads, ("mlm", leaf), rows)
    return fresh.replace(encoder=encoder, heads=heads)


def piece_ids(tokenizer: Tokenizer) -> Mapping[str, int]:
    """Return the id of every piece of a tokeniser."""
    if isinstance(tokenizer, WordPieceTokenizer):
        return tokenizer.backend.get_vocab()
    assert isinstance(tokenizer, SentencePieceTokenizer)  # there are two kinds
    model = tokenizer.model
    return {model.id_to_piece(index): index for index in range(tokenizer.vocab_size)}
