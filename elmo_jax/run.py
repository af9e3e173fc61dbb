# SPDX-License-Identifier: Apache-2.0
"""Loading of a biLM from the directory of a training run, finished or running."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
from jax import tree
from jax.typing import DTypeLike

from elmo_jax.config import ElmoConfig
from elmo_jax.discovery import START
from elmo_jax.options import has_tied_softmax, parse_options, read_options
from elmo_jax.params import ElmoParams
from elmo_jax.start_file import read_start
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.vocabulary import read_vocabulary
from elmo_jax.weights import encoder_tensors, softmax_tensors
from embed_jax.files.bucket import local_copy
from embed_jax.files.checked_files import check_files
from embed_jax.files.restoring import check_fits
from embed_jax.files.run_directory import MODEL, params_of, read_weights
from embed_jax.tree import SEPARATOR, name_leaves


def load_run(
    path: Path,
    *,
    encoder_only: bool,
    step: int | None = None,
    dtype: DTypeLike = jnp.float32,
) -> tuple[ElmoParams, ElmoTokenizer]:
    """Load a biLM from the directory of its run.

    Args:
      path: the directory.
      encoder_only: leaves out the softmax.
      step: of the checkpoint; by default the latest.
      dtype: of the parameters.

    Raises:
      ValueError: there is no checkpoint yet, a file is damaged, or the weights do not
        fit the configuration.
    """
    model = local_copy(path / MODEL)
    check_files(model)
    options = model / "options.json"
    words = read_vocabulary(model / "vocab.txt")
    held = read_options(options)
    config = parse_options(
        held, str(options), vocab_size=len(words), bidirectional=True
    )
    weights, step = read_weights(path, step, dtype)
    num_words = len(words) if weights.get("heads") else None
    shapes = _shapes(config, num_words, tied=has_tied_softmax(held))
    check_fits(name_leaves(weights), shapes, params_of(path, step), options)
    heads = {} if encoder_only else weights.get("heads", {})
    states = model / START if (model / START).is_file() else None
    start = read_start(states, config, options.name)
    params = ElmoParams(
        encoder=weights["encoder"], heads=heads, config=config, start=start
    )
    return tree.map(jnp.asarray, params), ElmoTokenizer(config, words)


def _shapes(
    config: ElmoConfig, num_words: int | None, *, tied: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each leaf; without words there is no softmax."""
    softmax = softmax_tensors(config, num_words, tied=tied) if num_words else ()
    for tensor in itertools.chain(encoder_tensors(config), softmax):
        shape = tensor.shape[1:] if tensor.led_by_one else tensor.shape
        yield SEPARATOR.join(tensor.path), shape
