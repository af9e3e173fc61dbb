# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of google-research/bert: bert_config.json, vocab.txt, bert_model.ckpt."""

import re
from pathlib import Path

import jax.numpy as jnp

from bert_jax.huggingface import EARLY_CONFIG, has_weights, heads_of, read_config
from bert_jax.params import BertParams
from bert_jax.tokenizer import Tokenizer
from bert_jax.tokenizer_files import check_file, read_vocab_txt
from bert_jax.tokenizer_settings import read_settings
from bert_jax.weights import TensorReader, assemble, check_depth, published_tensors
from embed_jax.files.json_file import read_json
from embed_jax.files.tensorflow_checkpoint import (
    TensorFlowCheckpoint,
    is_tensorflow_checkpoint,
    read_tensorflow_checkpoint,
)

# Optimiser slots and the step counter; not part of the model.
TRAINING_ONLY = re.compile(
    r"(.*/)?(adam_[mv]|lamb_[mv]|AdamWeightDecayOptimizer|global_step)(_\d+)?"
)

# What Google's pretraining and its run_squad.py have on top of the encoder.
HEADS = ("pooler", "mlm", "nsp", "question_answering")

# Google's constructor default is 16, though every released file says 2.
DEFAULT_SEGMENTS = 16


def load_google(
    path: Path, *, encoder_only: bool, cased: bool | None, dtype: jnp.dtype
) -> tuple[BertParams, Tokenizer]:
    """Read a checkpoint in the form of Google's releases.

    The activation is the one that the file names, and "gelu" is the exact form, as in
    Hugging Face's conversions; see docs/decisions/gelu.md.

    Args:
      path: the directory, or the prefix of one of its checkpoints.
      encoder_only: whether variables above the encoder are left out.
      cased: whether case is kept; by default inferred from the vocabulary.
      dtype: of the parameters.

    Raises:
      ValueError: see `bert_jax.load`.
    """
    directory = path if path.is_dir() else path.parent
    config_path = directory / EARLY_CONFIG
    settings = {"type_vocab_size": DEFAULT_SEGMENTS} | read_json(config_path)
    config = read_config(settings, str(config_path))
    vocab = directory / "vocab.txt"
    if not vocab.exists():
        raise ValueError(f"{vocab}: no such file; it comes with the checkpoint")
    tokenizer = read_vocab_txt(
        vocab,
        read_settings(directory),
        max_length=config.max_positions,
        cased=cased,
        max_chars_per_word=200,
    )
    check_file(tokenizer, config, vocab)
    try:
        variables = read_tensorflow_checkpoint(path)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    described = f"the configuration ({config_path})"
    check_depth(variables, config, str(variables.prefix), described)
    known = {tensor.name for tensor in published_tensors(config, HEADS)}
    tensors: dict[str, TensorReader] = {}
    for variable in variables:
        if TRAINING_ONLY.fullmatch(variable):
            continue
        is_encoder = variable.startswith(("bert/embeddings/", "bert/encoder/"))
        if encoder_only and not is_encoder:
            continue
        name = published_name(variable)
        # An unknown one keeps its name, so that its refusal says what the file says.
        tensors[name if name in known else variable] = _reader(variables, variable)
    heads = heads_of(tensors, settings, str(config_path))
    source = str(variables.prefix)
    params = assemble(tensors, config, heads, source, str(config_path), dtype)
    return params, tokenizer


def _reader(variables: TensorFlowCheckpoint, name: str) -> TensorReader:
    """Return a reader of a variable; kernels are transposed to PyTorch's [out, in]."""
    if name.endswith("/kernel"):
        return lambda: variables[name].T
    return lambda: variables[name]


def published_name(variable: str) -> str:
    """Translate a TensorFlow variable's name into Hugging Face's.

    Example:
      >>> published_name("bert/encoder/layer_3/output/dense/kernel")
      'encoder.layer.3.output.dense.weight'
      >>> published_name("cls/seq_relationship/output_weights")
      'cls.seq_relationship.weight'
    """
    name = variable.removeprefix("bert/").replace("/", ".")
    name = re.sub(r"\blayer_(\d+)\b", r"layer.\1", name)
    last = {
        "kernel": "weight",
        "gamma": "weight",
        "beta": "bias",
        "output_weights": "weight",
        "output_bias": "bias",
    }
    name = name.replace("cls.squad.", "qa_outputs.")
    stem, _, tail = name.rpartition(".")
    if tail.endswith("_embeddings"):
        return f"{name}.weight"
    return f"{stem}.{last.get(tail, tail)}".removeprefix(".")


def is_google(path: Path) -> bool:
    """Return whether a directory, or a checkpoint's prefix, is in Google's form."""
    if not path.is_dir():
        config_path = path.parent / EARLY_CONFIG
        return config_path.is_file() and is_tensorflow_checkpoint(path)
    # Where Hugging Face's files stand too, the checkpoint decides. Where they do not,
    # the directory can be nothing else, and `load_google` says what is missing.
    return (path / EARLY_CONFIG).is_file() and (
        is_tensorflow_checkpoint(path)
        or not ((path / "config.json").exists() or has_weights(path))
    )
