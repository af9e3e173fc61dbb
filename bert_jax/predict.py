# SPDX-License-Identifier: Apache-2.0
"""Predictions of BERT's heads from tokens."""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bert_jax.embed import apply_encoder, check_tokens
from bert_jax.heads import HEADS
from bert_jax.params import BertParams
from bert_jax.tokens import BertTokens
from embed_jax.devices.any_mesh import on_any_mesh
from embed_jax.tokens import check_range, reads_tokens


@reads_tokens(check_tokens)
@jax.jit
@on_any_mesh("B D")
def pooler_output(params: BertParams, tokens: BertTokens) -> Float[Array, "B D"]:
    """Return the pooler's output for each row.

    Raises:
      ValueError: the model has no pooler, a row is longer than the position table or
        (for NumPy tokens) an id outside the vocabulary; the other functions raise
        likewise.
    """
    return _apply(params, "pooler", apply_encoder(params, tokens)[-1])


def masked_lm_logits(
    params: BertParams, tokens: BertTokens, positions: Int[Any, "B M"] | None = None
) -> Float[Array, "B M V"]:
    """Return the logits of the vocabulary at the given positions.

    Args:
      params: weights with an MLM head.
      tokens: the batch.
      positions: token positions to score; by default all of them (M = T), which on
        BERT-base costs a quarter of the encoder's time more.

    Returns:
      Logits, float32.

    Raises:
      ValueError: the model has no MLM head, or (for NumPy arrays) a position outside
        the rows or an id outside the vocabulary.
    """
    check_tokens(params, tokens)
    length = tokens.ids.shape[-1]
    check_range("positions", positions, length, "the rows have tokens")
    return _masked_lm_logits(params, tokens, positions)


@jax.jit
@on_any_mesh("B M V")
def _masked_lm_logits(
    params: BertParams, tokens: BertTokens, positions: Int[Array, "B M"] | None
) -> Float[Array, "B M V"]:
    last = apply_encoder(params, tokens)[-1]
    if positions is not None:
        last = jnp.take_along_axis(last, positions[..., None], axis=1)
    table = params.encoder["embeddings"]["token"]["embedding"]
    return _apply(params, "mlm", last, table)


@reads_tokens(check_tokens)
@jax.jit
@on_any_mesh("B 2")
def next_sentence_logits(params: BertParams, tokens: BertTokens) -> Float[Array, "B 2"]:
    """Return logits: 0, "the second sentence follows"; 1, "it is random"."""
    return _apply(params, "nsp", pooler_output(params, tokens))


@reads_tokens(check_tokens)
@jax.jit
@on_any_mesh("B Y")
def sequence_logits(params: BertParams, tokens: BertTokens) -> Float[Array, "B Y"]:
    """Return the logits of `config.labels` for each row."""
    return _apply(params, "sequence", pooler_output(params, tokens))


@reads_tokens(check_tokens)
@jax.jit
@on_any_mesh("B T Y")
def token_logits(params: BertParams, tokens: BertTokens) -> Float[Array, "B T Y"]:
    """Return the logits of `config.labels` for each token."""
    return _apply(params, "token", apply_encoder(params, tokens)[-1])


@reads_tokens(check_tokens)
@jax.jit
@on_any_mesh("B")
def multiple_choice_scores(
    params: BertParams, tokens: BertTokens
) -> Float[Array, " B"]:
    """Return the score of each row, a question with one of its choices.

    Rows of one question are compared, as in
    `multiple_choice_scores(params, tokens).reshape(-1, num_choices).argmax(1)`.
    """
    return _apply(params, "multiple_choice", pooler_output(params, tokens))


@reads_tokens(check_tokens)
@jax.jit
@on_any_mesh("B T 2")
def question_answering_logits(
    params: BertParams, tokens: BertTokens
) -> Float[Array, "B T 2"]:
    """Return the logits of each token: 0, the answer starts; 1, it ends there.

    Rows are pairs, `tokenizer([(question, text)])`; the answer lies in the second text,
    where `tokens.segment_ids` is 1, and padding has logits too (`tokens.mask`).
    """
    return _apply(params, "question_answering", apply_encoder(params, tokens)[-1])


def _apply(params: BertParams, head: str, *inputs: Array) -> Array:
    if head not in params.heads:
        held = ", ".join(params.heads) or "none"
        raise ValueError(f"these weights have no {head!r} head (heads: {held})")
    module = HEADS[head](params.config)
    return cast(Array, module.apply({"params": params.heads[head]}, *inputs))
