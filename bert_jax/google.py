# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of google-research/bert: bert_config.json, vocab.txt, bert_model.ckpt."""

import re
from pathlib import Path

from bert_jax.huggingface import read_config, read_json
from bert_jax.params import BertParams
from bert_jax.tokenizer import Tokenizer, WordPieceTokenizer
from bert_jax.weights import assemble
from embed_jax.tensorflow_checkpoint import read_tensorflow_checkpoint

# Optimiser slots and the step counter; not part of the model.
TRAINING_ONLY = re.compile(r"(.*/)?(adam_[mv]|lamb_[mv]|global_step)(_\d+)?$")

# Google's constructor default is 16, though every released file says 2.
DEFAULT_SEGMENTS = 16


def load_google(
    path: Path, *, encoder_only: bool, cased: bool | None
) -> tuple[BertParams, Tokenizer]:
    """Read a directory as Google released them.

    The activation is taken as the file names it, so "gelu" is the exact form, as
    Hugging Face has it for all of them; docs/decisions/gelu.md.

    Raises:
      ValueError: see `bert_jax.load`.
    """
    config_path = path / "bert_config.json"
    settings = {"type_vocab_size": DEFAULT_SEGMENTS} | read_json(config_path)
    config = read_config(settings, str(config_path))
    variables = read_tensorflow_checkpoint(path)
    names = [name for name in variables if not TRAINING_ONLY.match(name)]
    if encoder_only:
        names = [n for n in names if n.startswith(("bert/embeddings", "bert/encoder"))]
    tensors = {}
    for name in names:
        values = variables[name]
        # PyTorch keeps the matrix of a product as [out, in]; so does our table.
        is_kernel = name.endswith("/kernel")
        tensors[published_name(name)] = values.T if is_kernel else values
    heads = {
        "pooler": "pooler.dense.weight",
        "mlm": "cls.predictions.bias",
        "nsp": "cls.seq_relationship.weight",
    }
    held = tuple(head for head, name in heads.items() if name in tensors)
    params = assemble(tensors, config, held, str(path / "bert_model.ckpt"))
    vocab = path / "vocab.txt"
    if not vocab.exists():
        raise ValueError(f"{vocab}: no such file; it comes with the checkpoint")
    tokenizer = WordPieceTokenizer.from_vocab(
        vocab, cased=cased, max_length=config.max_positions, max_chars_per_word=200
    )
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{vocab} has {tokenizer.vocab_size} pieces, but {config_path} says "
            f"{config.vocab_size}; they do not belong together"
        )
    return params, tokenizer


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
    stem, _, tail = name.rpartition(".")
    if tail.endswith("_embeddings"):
        return f"{name}.weight"
    return f"{stem}.{last.get(tail, tail)}"


def is_google_directory(path: Path) -> bool:
    """Tell whether a directory holds a checkpoint as Google released them."""
    return (path / "bert_config.json").exists() and any(path.glob("*.index"))

