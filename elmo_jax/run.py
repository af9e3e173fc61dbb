# SPDX-License-Identifier: Apache-2.0
"""Loading of a biLM from the directory of a training run, finished or running."""

from pathlib import Path

import jax.numpy as jnp
from jax import tree

from elmo_jax.options import parse_options, read_options
from elmo_jax.params import ElmoParams
from elmo_jax.tokenizer import ElmoTokenizer
from elmo_jax.vocabulary import read_vocabulary
from embed_jax.files.run_directory import MODEL, read_weights


def load_run(
    path: Path, *, encoder_only: bool, step: int | None = None
) -> tuple[ElmoParams, ElmoTokenizer]:
    """Load a biLM from the directory of its run.

    Args:
      path: the directory.
      encoder_only: leaves out the softmax.
      step: of the checkpoint; by default the latest.

    Raises:
      ValueError: there is no checkpoint yet, or a file is damaged.
    """
    options = path / MODEL / "options.json"
    words = read_vocabulary(path / MODEL / "vocab.txt")
    config = parse_options(
        read_options(options), str(options), vocab_size=len(words), bidirectional=True
    )
    weights, _ = read_weights(path, step)
    heads = {} if encoder_only else weights.get("heads", {})
    params = ElmoParams(encoder=weights["encoder"], heads=heads, config=config)
    return tree.map(jnp.asarray, params), ElmoTokenizer(config, words)
