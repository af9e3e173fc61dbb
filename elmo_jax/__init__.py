# SPDX-License-Identifier: Apache-2.0
"""The biLM of ELMo (Peters et al. 2018): load, embed, score, save.

    params, tokenizer = elmo_jax.load("models/elmo-original")
    tokens = tokenizer([["The", "bank", "of", "the", "river", "."]])
    vectors = elmo_jax.embed(params, tokens, "mix(all)")  # [B T D], jitted

Text at scale goes through `embed_words`, `embed_sentences` and their streaming forms.
"""

from elmo_jax.config import TINY, CharCnnConfig, ElmoConfig
from elmo_jax.embed import apply_bilm, embed, encode, zero_carry
from elmo_jax.params import ElmoParams, init_params
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.tokens import ElmoTokens
from elmo_jax.vocabulary import Vocabulary, read_vocabulary, write_vocabulary

__all__ = [
    "TINY",
    "CharCnnConfig",
    "ElmoConfig",
    "ElmoParams",
    "ElmoTokenizer",
    "ElmoTokens",
    "Vocabulary",
    "apply_bilm",
    "embed",
    "encode",
    "init_params",
    "read_vocabulary",
    "write_vocabulary",
    "zero_carry",
]
