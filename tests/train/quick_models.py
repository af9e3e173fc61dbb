# SPDX-License-Identifier: Apache-2.0
"""Tiny models whose weights NumPy draws: nothing is compiled to make them."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import bert_jax
import elmo_jax
from tests.train.tasks.finetuning_data import PIECES


def save_bert(path: Path, seed: int = 0, num_blocks: int = 1) -> Path:
    """Save a BERT without heads."""
    config = dataclasses.replace(
        bert_jax.TINY,
        vocab_size=len(PIECES),
        num_blocks=num_blocks,
        layer_dim=16,
        mlp_dim=16,
    )
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(
        PIECES, cased=False, max_length=64
    )
    init = partial(bert_jax.init_params, config=config, heads=())
    bert_jax.save(path, _drawn(init, seed), tokenizer)
    return path


def save_elmo(path: Path, seed: int = 0) -> Path:
    """Save a biLM of two blocks."""
    init = partial(elmo_jax.init_params, config=elmo_jax.TINY)
    elmo_jax.save(path, _drawn(init, seed), elmo_jax.ElmoTokenizer(elmo_jax.TINY))
    return path


def _drawn(init: Any, seed: int) -> Any:
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: random.normal(0, 0.3, leaf.shape).astype(np.float32),
        jax.eval_shape(init, jax.random.key(0)),
    )
