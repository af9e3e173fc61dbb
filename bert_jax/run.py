# SPDX-License-Identifier: Apache-2.0
"""Loading of a BERT from the directory of a training run, finished or running."""

from pathlib import Path

import jax.numpy as jnp
from jax import tree

from bert_jax.huggingface import read_config
from bert_jax.params import BertParams
from bert_jax.tokenizer import Tokenizer
from bert_jax.tokenizer_files import load_tokenizer
from embed_jax.files.json_file import read_json
from embed_jax.files.run_directory import MODEL, read_weights


def load_run(
    path: Path, *, encoder_only: bool, step: int | None = None
) -> tuple[BertParams, Tokenizer]:
    """Load an encoder from the directory of its run.

    Args:
      path: the directory.
      encoder_only: leaves out pooler and heads.
      step: of the checkpoint; by default the latest.

    Raises:
      ValueError: there is no checkpoint yet, or a file is damaged.
    """
    settings = path / MODEL / "config.json"
    config = read_config(read_json(settings), str(settings))
    tokenizer = load_tokenizer(path / MODEL, config)
    weights, _ = read_weights(path, step)
    heads = {} if encoder_only else weights.get("heads", {})
    params = BertParams(encoder=weights["encoder"], heads=heads, config=config)
    return tree.map(jnp.asarray, params), tokenizer
