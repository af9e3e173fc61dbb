# SPDX-License-Identifier: Apache-2.0
"""BERT encoders (Devlin et al. 2019): load, embed, save.

For example::

    params, tokenizer = bert_jax.load("models/all-MiniLM-L6-v2")
    tokens = tokenizer(["The bank of the river."])
    vectors = bert_jax.embed(params, tokens, "concat(last4)")  # [B T D], jitted

Text at scale goes through `embed_words`, `embed_sentences` and their streaming forms.
"""

from bert_jax.config import TINY, BertConfig
from bert_jax.corpus import (
    embed_sentences,
    embed_words,
    stream_sentences,
    stream_words,
    vector_width,
)
from bert_jax.embed import apply_encoder, embed, encode
from bert_jax.family import ENCODER
from bert_jax.load import load, save
from bert_jax.params import BertParams, init_params
from bert_jax.predict import (
    masked_lm_logits,
    multiple_choice_scores,
    next_sentence_logits,
    pooler_output,
    question_answering_logits,
    sequence_logits,
    token_logits,
)
from bert_jax.tokenizer import SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from bert_jax.tokens import BertTokens

__all__ = [
    "ENCODER",
    "TINY",
    "BertConfig",
    "BertParams",
    "BertTokens",
    "SentencePieceTokenizer",
    "Tokenizer",
    "WordPieceTokenizer",
    "apply_encoder",
    "embed",
    "embed_sentences",
    "embed_words",
    "encode",
    "init_params",
    "load",
    "masked_lm_logits",
    "multiple_choice_scores",
    "next_sentence_logits",
    "pooler_output",
    "question_answering_logits",
    "save",
    "sequence_logits",
    "stream_sentences",
    "stream_words",
    "token_logits",
    "vector_width",
]
