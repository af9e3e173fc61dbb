# SPDX-License-Identifier: Apache-2.0
"""Whole models in and out: `load` what the field publishes, `save` the same form."""

import contextlib
import os
import re
import tempfile
from pathlib import Path

from bert_jax.google import is_google, load_google
from bert_jax.huggingface import load_directory, save_directory
from bert_jax.params import BertParams
from bert_jax.tokenizer import Tokenizer

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
HUB_FILES = (
    "config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
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
      path: a directory, the prefix of one of several TensorFlow checkpoints, or an id
        on the Hugging Face hub such as "google-bert/bert-base-cased".
      encoder_only: leaves out pooler and heads, known or not.
      cased: for Google checkpoints only, whether capitals are kept; by default read
        off the vocabulary.

    Returns:
      Float32 parameters on JAX's default device, and the tokeniser.

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
    if is_google(directory):
        return load_google(directory, encoder_only=encoder_only, cased=cased)
    if not directory.is_dir():
        directory = _fetch(os.fspath(path))
    if cased is not None:
        raise ValueError(
            f"{directory} tells itself whether capitals are kept; leave cased out"
        )
    return load_directory(directory, encoder_only=encoder_only)


def save(
    path: str | os.PathLike[str],
    params: BertParams,
    tokenizer: Tokenizer,
    *,
    overwrite: bool = False,
) -> None:
    """Write a model as a Hugging Face directory that `transformers` opens.

    Everything is written beside and renamed, so `path` is never half a model.

    Args:
      path: the directory to make.
      params: encoder and heads; the heads decide the architecture that is named.
      tokenizer: its files are written into the same directory.
      overwrite: whether an existing model may be replaced, with all that lies in its
        directory.

    Raises:
      FileExistsError: `path` exists and `overwrite` is False, or it is no model.
      ValueError: parameters, configuration and tokeniser do not belong together.
    """
    target = Path(path)
    if target.exists():
        if not overwrite:
            raise FileExistsError(f"{target} exists; pass overwrite=True to replace it")
        is_empty = target.is_dir() and not any(target.iterdir())
        if not is_empty and not (target / "config.json").is_file():
            raise FileExistsError(f"{target} is no model; not replaced")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name}.", dir=target.parent
    ) as temporary:
        fresh = Path(temporary, "new")
        fresh.mkdir()
        save_directory(fresh, params, tokenizer)
        old = Path(temporary, "old")
        with contextlib.suppress(FileNotFoundError):
            target.rename(old)
        try:
            fresh.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise


def recognises(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path or hub id looks like a BERT model; reads no weights.

    What is no file and looks like an id on the hub may be one.
    """
    directory = Path(path)
    if is_google(directory):
        return True
    if not directory.exists():
        return HUB_ID.fullmatch(os.fspath(path)) is not None
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
        directory = Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
        # Most repositories hold the same weights in both forms; one is enough.
        if not any(directory.glob("model*.safetensors")):
            snapshot_download(name, allow_patterns=["pytorch_model.bin"])
        return directory
    except Exception as error:  # the hub client raises many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{name}: no such directory, and not to be had from the hub ({reason})"
        ) from error
