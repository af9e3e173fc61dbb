# SPDX-License-Identifier: Apache-2.0
"""Models of random weights, small enough to be saved and loaded in any test."""

from pathlib import Path

import jax

import bert_jax
import elmo_jax

PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] the a bank of river we sat ##s money".split()


def save_bert(path: Path) -> str:
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(
        PIECES, cased=False, max_length=64
    )
    params = bert_jax.init_params(jax.random.key(0), bert_jax.TINY)
    bert_jax.save(path, params, tokenizer)
    return str(path)


def save_elmo(path: Path) -> str:
    params = elmo_jax.init_params(jax.random.key(0), elmo_jax.TINY)
    elmo_jax.save(path, params, elmo_jax.ElmoTokenizer(elmo_jax.TINY))
    return str(path)
