# SPDX-License-Identifier: Apache-2.0
"""Loading of published BERT models, and saving in Hugging Face's format."""

import os
from pathlib import Path

import jax.numpy as jnp
from jax.typing import DTypeLike

from bert_jax import sentence_modules, tokenizer_settings
from bert_jax.google import is_google, load_google
from bert_jax.huggingface import (
    EARLY_CONFIG,
    MODEL,
    load_directory,
    other_architectures,
    save_directory,
)
from bert_jax.params import BertParams
from bert_jax.run import load_run
from bert_jax.sentence_modules import warn_of_modules
from bert_jax.tokenizer import Tokenizer
from embed_jax.devices.precision import float_dtype
from embed_jax.files.bucket import local_copy, run_path
from embed_jax.files.claim import claim
from embed_jax.files.directory import written_whole
from embed_jax.files.hub import fetch_snapshot
from embed_jax.files.json_file import read_json
from embed_jax.files.local_path import local_path
from embed_jax.files.run_directory import is_run, refuse_step

HUB_FILES = (
    "config.json",
    "bert_config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "vocab.txt",
    "*.model",
    *tokenizer_settings.FILES,
    *sentence_modules.FILES,
)

TORCH_FILES = (
    "pytorch_model.bin",
    "pytorch_model-*-of-*.bin",
    "pytorch_model.bin.index.json",
)

# What every BERT's configuration has had since before there was a model_type.
EARLY_KEYS = {"hidden_size", "num_hidden_layers", "type_vocab_size", "vocab_size"}


def load(
    path: str | os.PathLike[str],
    *,
    encoder_only: bool = False,
    cased: bool | None = None,
    dtype: DTypeLike = jnp.float32,
    step: int | None = None,
) -> tuple[BertParams, Tokenizer]:
    """Load a BERT encoder with its tokeniser.

    Reads a directory of Hugging Face (safetensors, or `pytorch_model.bin` through
    torch's weights-only loader, each sharded or not; old `gamma`/`beta` names, with or
    without a prefix such as `bert.` or `module.`, pooler and heads; 16-bit files; an
    early one with `bert_config.json`), a Google
    TensorFlow checkpoint, the directory of a training run (its latest weights, or those
    of a `step`), or a hub id.

    Args:
      path: a directory, the prefix of one of several TensorFlow checkpoints, or an id
        on the Hugging Face hub such as "google-bert/bert-base-cased".
      encoder_only: leaves out pooler and heads, known or not.
      cased: for Google checkpoints only, whether case is kept; by default inferred
        from the vocabulary.
      dtype: of the parameters, such as "bfloat16", which take half the memory;
        float64 needs JAX's 64-bit mode. What is computed has a dtype of its own, that
        of `embed(…, dtype=…)`.
      step: of a training run's checkpoint; by default its latest.

    Returns:
      Parameters on JAX's default device, and the tokeniser.

    Raises:
      ValueError: a missing, unexpected, misshapen or damaged tensor or file, or an
        unsupported variant of BERT; one line that names the file and the remedy. A
        step that the run did not save, with a list of those that it did.

    Example:
      >>> load("no/such/model/here")
      Traceback (most recent call last):
      ValueError: no/such/model/here: no such directory
    """
    dtype = float_dtype("load(): dtype", dtype)
    directory = run_path(path)
    if is_run(directory):
        return load_run(directory, encoder_only=encoder_only, step=step, dtype=dtype)
    refuse_step(directory, step)
    directory = local_copy(directory)
    if is_google(directory):
        return load_google(
            directory, encoder_only=encoder_only, cased=cased, dtype=dtype
        )
    if not directory.is_dir():
        directory = _fetch(os.fspath(path))
    if cased is not None:
        raise ValueError(
            f"{directory} tells itself whether capitals are kept; leave cased out"
        )
    params, tokenizer = load_directory(
        directory, encoder_only=encoder_only, dtype=dtype
    )
    warn_of_modules(directory, params.config.max_positions)
    return params, tokenizer


def save(
    path: str | os.PathLike[str],
    params: BertParams,
    tokenizer: Tokenizer,
    *,
    overwrite: bool = False,
) -> None:
    """Write a model as a Hugging Face directory that `transformers` opens.

    The directory is written beside `path` and renamed, so `path` is never incomplete.

    Args:
      path: the directory to make.
      params: encoder and heads; the heads determine the architecture in config.json.
      tokenizer: its files are written into the same directory.
      overwrite: whether a model that was saved here may be replaced, with its
        directory.

    Raises:
      FileExistsError: `path` exists and `overwrite` is False, or it is no model that
        was saved here, or holds other files.
      BlockingIOError: another process is writing it.
      ValueError: parameters, configuration and tokeniser do not match.
    """
    path = local_path(path)
    with (
        claim(path),
        written_whole(path, marker=MODEL, overwrite=overwrite) as directory,
    ):
        save_directory(directory, params, tokenizer)


def claims(path: Path) -> bool:
    """Return whether a model without a `model_type` is a BERT.

    Google's checkpoints and early directories of Hugging Face are, unless these name
    the architecture of another model: early RoBERTas have the same keys.
    """
    if is_google(path) or (path / EARLY_CONFIG).is_file():
        return True
    config = path / "config.json"
    if not config.is_file():
        return False
    settings = read_json(config)
    return settings.keys() >= EARLY_KEYS and not other_architectures(settings)


def _fetch(name: str) -> Path:
    """Fetch a model from the hub, or find it in the hub's local cache."""
    directory = fetch_snapshot(name, HUB_FILES)
    # Most repositories hold the same weights in both forms; one is enough.
    if not any(directory.glob("model*.safetensors")):
        fetch_snapshot(name, TORCH_FILES)
    return directory
