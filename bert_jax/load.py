# SPDX-License-Identifier: Apache-2.0
"""Whole models in and out: `load` what the field publishes, `save` the same form."""

import os
import re
import tempfile
from pathlib import Path

from bert_jax.google import is_google_directory, load_google
from bert_jax.huggingface import load_directory, save_directory
from bert_jax.params import BertParams
from bert_jax.tokenizer import Tokenizer

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
HUB_FILES = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "*.model",
)


def load(
    path: str | os.PathLike[str],
    *,
    encoder_only: bool = False,
    cased: bool | None = None,
) -> tuple[BertParams, Tokenizer]:
    """Load a BERT encoder with its tokeniser.

    Reads a directory of Hugging Face (safetensors, sharded or not, or
    `pytorch_model.bin` through torch's weights-only loader; old `gamma`/`beta` names,
    with or without the `bert.` prefix, pooler and heads; 16-bit files), a Google
    TensorFlow checkpoint, or a hub id.

    Args:
      path: a directory, or an id on the Hugging Face hub such as
        "google-bert/bert-base-cased".
      encoder_only: leaves out pooler and heads, known or not.
      cased: for Google checkpoints, whether capitals are kept; by default read off
        the vocabulary.

    Returns:
      Float32 parameters as NumPy arrays (the first jitted call moves them to the
      device), and the tokeniser.

    Raises:
      ValueError: a missing, unexpected, misshapen or damaged tensor or file, a variant
        of BERT that would give other numbers; one line that names the file and the
        remedy.

    Example:
      >>> load("no/such/model/here")
      Traceback (most recent call last):
      ValueError: no/such/model/here: no such directory
    """
    directory = Path(path)
    if not directory.is_dir():
        directory = _fetch(os.fspath(path))
    if is_google_directory(directory):
        return load_google(directory, encoder_only=encoder_only, cased=cased)
    return load_directory(directory, encoder_only=encoder_only)


def save(
    path: str | os.PathLike[str],
    params: BertParams,
    tokenizer: Tokenizer,
    *,
    overwrite: bool = False,
) -> None:
    """Write a model as a Hugging Face directory that `transformers` opens.

    Everything is written beside and renamed, so `path` is whole or absent.

    Args:
      path: the directory to make.
      params: encoder and heads; the heads decide the architecture that is named.
      tokenizer: its files are written into the same directory.
      overwrite: whether an existing directory may be replaced.

    Raises:
      FileExistsError: `path` exists and `overwrite` is False.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists; pass overwrite=True to replace it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name}.", dir=target.parent
    ) as temporary:
        fresh = Path(temporary, "new")
        fresh.mkdir()
        save_directory(fresh, params, tokenizer)
        if target.exists():
            target.rename(Path(temporary, "old"))
        fresh.rename(target)


def recognises(path: str | os.PathLike[str]) -> bool:
    """Tell whether a directory looks like a BERT model; reads no weights."""
    directory = Path(path)
    if is_google_directory(directory):
        return True
    config = directory / "config.json"
    return config.is_file() and '"bert"' in config.read_text(errors="replace")


def _fetch(name: str) -> Path:
    """Fetch a model from the hub, or find it in the hub's local cache."""
    if Path(name).exists():
        raise ValueError(f"{name} is a file; pass the directory that holds the model")
    if not HUB_ID.fullmatch(name):
        raise ValueError(f"{name}: no such directory")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # the hub client raises many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{name}: no such directory, and not to be had from the hub ({reason})"
        ) from error
