# SPDX-License-Identifier: Apache-2.0
"""Directories in the form of Hugging Face: read every published variant, write one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.flax
import safetensors.numpy

from bert_jax.config import BertConfig
from bert_jax.params import BertParams
from bert_jax.tokenizer import SentencePieceTokenizer, Tokenizer, WordPieceTokenizer
from bert_jax.weights import assemble, disassemble

# Our field, their key, their default. Google's bert_config.json uses the same keys.
CONFIG_KEYS: tuple[tuple[str, str, Any], ...] = (
    ("vocab_size", "vocab_size", 30522),
    ("num_blocks", "num_hidden_layers", 12),
    ("num_heads", "num_attention_heads", 12),
    ("layer_dim", "hidden_size", 768),
    ("mlp_dim", "intermediate_size", 3072),
    ("max_positions", "max_position_embeddings", 512),
    ("num_segments", "type_vocab_size", 2),
    ("hidden_act", "hidden_act", "gelu"),
    ("norm_epsilon", "layer_norm_eps", 1e-12),
    ("dropout_rate", "hidden_dropout_prob", 0.1),
    ("attention_dropout_rate", "attention_probs_dropout_prob", 0.1),
    ("classifier_dropout_rate", "classifier_dropout", None),
    ("init_std", "initializer_range", 0.02),
    ("pad_id", "pad_token_id", 0),
    ("tied_decoder", "tie_word_embeddings", True),
)

# Settings that change the arithmetic and that this encoder does not have.
REFUSED = (
    ("position_embedding_type", "absolute"),
    ("is_decoder", False),
    ("add_cross_attention", False),
)

ENCODER_PREFIXES = ("embeddings.", "encoder.", "pooler.")


def read_config(settings: Mapping[str, Any], source: str) -> BertConfig:
    """Turn the content of a config.json or bert_config.json into a configuration.

    Args:
      settings: the parsed JSON; keys that do not touch the arithmetic are ignored.
      source: the file, for messages.

    Raises:
      ValueError: another model type, or a variant that would give other numbers.
    """
    model_type = settings.get("model_type", "bert")
    if model_type != "bert":
        raise ValueError(f"{source}: model_type {model_type!r}, and only bert is read")
    for key, needed in REFUSED:
        if settings.get(key, needed) != needed:
            raise ValueError(
                f"{source}: {key} is {settings[key]!r}; only {needed!r} is BERT as "
                "published, and ignoring it would give wrong vectors"
            )
    # null in the file means the default, except where None is a value of ours.
    fields = {ours: settings.get(theirs, default) for ours, theirs, default in CONFIG_KEYS}
    fields["pad_id"] = fields["pad_id"] or 0
    labels = settings.get("id2label") or {}
    fields["labels"] = tuple(labels[key] for key in sorted(labels, key=int))
    try:
        return BertConfig(**fields)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{source}: {error}") from error


def write_config(params: BertParams) -> dict[str, Any]:
    """Return the content of config.json."""
    config = params.config
    settings: dict[str, Any] = {
        "architectures": [architecture(params)],
        "model_type": "bert",
        "position_embedding_type": "absolute",
    }
    settings |= {theirs: getattr(config, ours) for ours, theirs, _ in CONFIG_KEYS}
    if config.labels:
        settings["id2label"] = {str(i): name for i, name in enumerate(config.labels)}
        settings["label2id"] = {name: i for i, name in enumerate(config.labels)}
    return settings


def architecture(params: BertParams) -> str:
    """Name the class of `transformers` that holds these heads."""
    heads = set(params.heads)
    if "sequence" in heads:
        return "BertForSequenceClassification"
    if "token" in heads:
        return "BertForTokenClassification"
    if {"mlm", "nsp"} <= heads:
        return "BertForPreTraining"
    if "mlm" in heads:
        return "BertForMaskedLM"
    return "BertForNextSentencePrediction" if "nsp" in heads else "BertModel"


def load_directory(path: Path, *, encoder_only: bool) -> tuple[BertParams, Tokenizer]:
    """Read a directory with config.json, weights and tokeniser files.

    Args:
      path: the directory.
      encoder_only: whether tensors above the encoder are left out.

    Raises:
      ValueError: see `bert_jax.load`.
    """
    config_path = path / "config.json"
    settings = read_json(config_path)
    config = read_config(settings, str(config_path))
    tensors, source = _read_tensors(path)
    tensors = _with_plain_names(tensors, encoder_only=encoder_only)
    heads = () if encoder_only else _heads_of(tensors, settings)
    config = _with_labels(config, tensors, heads)
    _settle_decoder(tensors, config, source)
    params = assemble(tensors, config, heads, source)
    return params, load_tokenizer(path, config)


def save_directory(path: Path, params: BertParams, tokenizer: Tokenizer) -> None:
    """Write config.json, model.safetensors and the tokeniser's files into `path`."""
    tensors = disassemble(params)
    if "mlm" in params.heads:
        tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
        if params.config.tied_decoder:
            tensors["cls.predictions.decoder.weight"] = tensors[
                "embeddings.word_embeddings.weight"
            ]
    if architecture(params) != "BertModel":
        tensors = {
            f"bert.{name}" if name.startswith(ENCODER_PREFIXES) else name: values
            for name, values in tensors.items()
        }
    safetensors.numpy.save_file(
        tensors, path / "model.safetensors", metadata={"format": "pt"}
    )
    text = json.dumps(write_config(params), indent=2) + "\n"
    (path / "config.json").write_text(text, encoding="utf-8")
    tokenizer.save(path)


def load_tokenizer(path: Path, config: BertConfig) -> Tokenizer:
    """Read whichever tokeniser a directory holds.

    Raises:
      ValueError: none there, an unreadable one, or one larger than the token table.
    """
    length = config.max_positions
    settings = {}
    if (path / "tokenizer_config.json").exists():
        settings = read_json(path / "tokenizer_config.json")
    sentencepieces = sorted(path.glob("*.model"))
    tokenizer: Tokenizer
    if (path / "tokenizer.json").exists():
        source = path / "tokenizer.json"
        tokenizer = WordPieceTokenizer.from_file(source, max_length=length)
    elif (path / "vocab.txt").exists():
        source = path / "vocab.txt"
        lower_case = settings.get("do_lower_case")
        tokenizer = WordPieceTokenizer.from_vocab(
            source,
            cased=None if lower_case is None else not lower_case,
            max_length=length,
            strip_accents=settings.get("strip_accents"),
            split_cjk=settings.get("tokenize_chinese_chars", True),
        )
    elif sentencepieces:
        source = sentencepieces[0]
        tokenizer = SentencePieceTokenizer(source, max_length=length)
    else:
        raise ValueError(
            f"{path} has no tokeniser: no tokenizer.json, vocab.txt or *.model there"
        )
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{source} has {tokenizer.vocab_size} pieces, but the token table of the "
            f"model only {config.vocab_size} rows; they do not belong together"
        )
    return tokenizer


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
      ValueError: no such file, or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content


def _read_tensors(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Read all weight files of a directory; also return what to call them."""
    index = path / "model.safetensors.index.json"
    if index.exists():
        files = sorted(set(read_json(index).get("weight_map", {}).values()))
        tensors: dict[str, np.ndarray] = {}
        for file in files:
            tensors |= _read_safetensors(path / file)
        return tensors, str(index)
    if (path / "model.safetensors").exists():
        file = path / "model.safetensors"
        return _read_safetensors(file), str(file)
    if (path / "pytorch_model.bin").exists():
        file = path / "pytorch_model.bin"
        return _read_torch(file), str(file)
    raise ValueError(f"{path} has no weights: no model.safetensors or pytorch_model.bin")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is damaged or cut short ({error}); fetch it again"
        ) from error


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"{path} is a PyTorch file: pip install torch, or convert it to safetensors"
        ) from error
    try:
        # weights_only: nothing but tensors is built, whatever the file says.
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, some without a message
        raise ValueError(
            f"{path} is damaged, or holds more than weights ({type(error).__name__})"
        ) from error
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        for name, tensor in tensors.items()
    }


def _with_plain_names(
    tensors: dict[str, np.ndarray], *, encoder_only: bool
) -> dict[str, np.ndarray]:
    """Undo prefixes and the names of TensorFlow that old files kept."""
    plain = {}
    for name, values in tensors.items():
        name = name.removeprefix("bert.")
        # Only the last component: a rename inside a name has broken models before
        # (transformers#29554).
        stem, _, last = name.rpartition(".")
        if stem.endswith("LayerNorm"):
            name = f"{stem}.{ {'gamma': 'weight', 'beta': 'bias'}.get(last, last) }"
        is_encoder = name.startswith(("embeddings.", "encoder."))
        # A buffer 0, 1, 2, … that old versions saved.
        if name == "embeddings.position_ids" or (encoder_only and not is_encoder):
            continue
        plain[name] = values
    return plain


def _heads_of(
    tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> tuple[str, ...]:
    """Tell from names, and for classifiers from the architecture, which heads exist."""
    has = {name.rpartition(".")[0] for name in tensors}
    heads = []
    if "pooler.dense" in has:
        heads.append("pooler")
    if "cls.predictions" in has:
        heads.append("mlm")
    if "cls.seq_relationship" in has:
        heads.append("nsp")
    if "classifier" in has:
        named = " ".join(settings.get("architectures") or [])
        of_tokens = "TokenClassification" in named or "pooler.dense" not in has
        heads.append("token" if of_tokens else "sequence")
    return tuple(heads)


def _with_labels(
    config: BertConfig, tensors: Mapping[str, np.ndarray], heads: tuple[str, ...]
) -> BertConfig:
    """Give the classes names; transformers leaves two default ones out of the file."""
    import dataclasses

    if not {"sequence", "token"} & set(heads) or "classifier.bias" not in tensors:
        return dataclasses.replace(config, labels=())
    num_labels = len(tensors["classifier.bias"])
    labels = config.labels or tuple(f"LABEL_{i}" for i in range(num_labels))
    if len(labels) != num_labels:
        raise ValueError(
            f"config.json names {len(labels)} labels, but classifier.bias has "
            f"{num_labels}"
        )
    return dataclasses.replace(config, labels=labels)


def _settle_decoder(
    tensors: dict[str, np.ndarray], config: BertConfig, source: str
) -> None:
    """Remove the copies that some files keep of the MLM head's tied tensors."""
    weight, bias = "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"
    if bias in tensors:
        # An untied decoder of transformers reads this bias and not the other.
        tensors["cls.predictions.bias"] = tensors.pop(bias)
    if config.tied_decoder and weight in tensors:
        copy = tensors.pop(weight)
        if not np.array_equal(copy, tensors["embeddings.word_embeddings.weight"]):
            raise ValueError(
                f"{source}: {weight} differs from the token table; if it is meant to, "
                "set tie_word_embeddings to false in config.json"
            )
