# SPDX-License-Identifier: Apache-2.0
"""The biLM of ELMo (Peters et al. 2018): load, embed, score, save.

For example::

    params, tokenizer = elmo_jax.load("models/elmo-original")
    tokens = tokenizer([["The", "bank", "of", "the", "river", "."]])
    vectors = elmo_jax.embed(params, tokens, "mix(all)")  # [B T D], jitted

Text at scale goes through `embed_words`, `embed_sentences` and their streaming forms.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

from elmo_jax.bilm import zero_carry
from elmo_jax.config import TINY, CharCnnConfig, ElmoConfig
from elmo_jax.corpus import (
    embed_sentences,
    embed_words,
    stream_sentences,
    stream_words,
    vector_width,
)
from elmo_jax.embed import apply_bilm, embed, encode
from elmo_jax.family import ENCODER
from elmo_jax.load import load, save
from elmo_jax.params import ElmoParams, init_params
from elmo_jax.scoring import (
    Perplexity,
    SentenceScore,
    perplexity,
    score_sentences,
    stream_scores,
)
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.tokens import ElmoTokens
from elmo_jax.vocabulary import Vocabulary, read_vocabulary, write_vocabulary
from elmo_jax.warm_start import warm_start
from elmo_jax.word_table import word_table

__all__ = [
    "ENCODER",
    "TINY",
    "CharCnnConfig",
    "ElmoConfig",
    "ElmoParams",
    "ElmoTokenizer",
    "ElmoTokens",
    "Perplexity",
    "SentenceScore",
    "Vocabulary",
    "apply_bilm",
    "embed",
    "embed_sentences",
    "embed_words",
    "encode",
    "init_params",
    "load",
    "perplexity",
    "read_vocabulary",
    "save",
    "score_sentences",
    "stream_scores",
    "stream_sentences",
    "stream_words",
    "vector_width",
    "warm_start",
    "word_table",
    "write_vocabulary",
    "zero_carry",
]
