# SPDX-License-Identifier: Apache-2.0
"""Loading of a BERT from the directory of a training run, finished or running."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax.numpy as jnp
from jax import tree
from jax.typing import DTypeLike

from bert_jax.config import BertConfig
from bert_jax.heads import HEADS
from bert_jax.huggingface import read_config
from bert_jax.params import BertParams
from bert_jax.tokenizer import Tokenizer
from bert_jax.tokenizer_files import load_tokenizer
from bert_jax.weights import encoder_tensors, head_tensors
from embed_jax.files.bucket import local_copy
from embed_jax.files.checked_files import check_files
from embed_jax.files.json_file import read_json
from embed_jax.files.restoring import check_fits
from embed_jax.files.run_directory import MODEL, params_of, read_weights
from embed_jax.tree import SEPARATOR, name_leaves


def load_run(
    path: Path,
    *,
    encoder_only: bool,
    step: int | None = None,
    dtype: DTypeLike = jnp.float32,
) -> tuple[BertParams, Tokenizer]:
    """Load an encoder from the directory of its run.

    Args:
      path: the directory.
      encoder_only: leaves out pooler and heads.
      step: of the checkpoint; by default the latest.
      dtype: of the parameters.

    Raises:
      ValueError: there is no checkpoint yet, a file is damaged, or the weights do not
        fit the configuration.
    """
    model = local_copy(path / MODEL)
    check_files(model)
    settings = model / "config.json"
    config = read_config(read_json(settings), str(settings))
    tokenizer = load_tokenizer(model, config)
    weights, step = read_weights(path, step, dtype)
    shapes = _shapes(config, weights.get("heads", {}))
    check_fits(name_leaves(weights), shapes, params_of(path, step), settings)
    heads = {} if encoder_only else weights.get("heads", {})
    params = BertParams(encoder=weights["encoder"], heads=heads, config=config)
    return tree.map(jnp.asarray, params), tokenizer


def _shapes(
    config: BertConfig, heads: Iterable[str]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each leaf; heads of no known name have none."""
    tensors = (head_tensors(head, config) for head in heads if head in HEADS)
    for tensor in itertools.chain(encoder_tensors(config), *tensors):
        shape = tensor.shape[::-1] if tensor.transposed else tensor.shape
        yield SEPARATOR.join(tensor.path), shape
