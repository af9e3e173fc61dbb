# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of models in Hugging Face's directory format."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from bert_jax.config import BertConfig, HiddenAct
from bert_jax.heads import ARCHITECTURES, LABELLED
from bert_jax.params import BertParams
from bert_jax.tokenizer import Tokenizer
from bert_jax.tokenizer_files import check_vocabulary, load_tokenizer
from bert_jax.weights import (
    ENCODER_ONLY,
    NEED_POOLER,
    TensorReader,
    assemble,
    disassemble,
)
from embed_jax.files.checked_files import check_files, write_checksums
from embed_jax.files.checksum import crc32_of
from embed_jax.files.finite import check_savable
from embed_jax.files.json_file import json_text, parse_object, read_json
from embed_jax.files.kinds import MARK, DirectoryKind, json_with
from embed_jax.files.mistaken import mistaken_file
from embed_jax.messages import one_line

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

# In the metadata of our safetensors files: the CRC-32 of each tensor, as JSON.
_CHECKSUMS_KEY = "contextual_jax.crc32"
# BertModel, BertForMaskedLM, BertLMHeadModel, …
_BERTS = re.compile(r"Bert(Model|For[A-Z]\w*|LMHeadModel)")
_BERT_WITH_HEAD = re.compile(r"BertFor[A-Z]\w*")
# Their heads have other names, so a classifier beside them is one that was added.
PRETRAINING = {"BertForPreTraining", "BertForMaskedLM", "BertForNextSentencePrediction"}

ACTIVATIONS = get_args(HiddenAct)
WEIGHTS = "model.safetensors", "pytorch_model.bin"
EARLY_CONFIG = "bert_config.json"
WORD_TABLE = "embeddings.word_embeddings.weight"

# Under which trainers keep the weights beside the state of the training.
STATES = ("state_dict", "model_state_dict", "model")

# What may lie there in place of the weights that are read, and the remedy.
_CONVERT = (
    "convert them with transformers 4, BertModel.from_pretrained(DIRECTORY, "
    "from_{}=True).save_pretrained(NEW)"
)
_NO_NAMES = "it is a program without the weights' names; fetch model.safetensors"
OTHER_WEIGHTS = (
    ("model-*-of-*.safetensors", "fetch model.safetensors.index.json too"),
    ("pytorch_model-*-of-*.bin", "fetch pytorch_model.bin.index.json too"),
    ("tf_model*.h5", _CONVERT.format("tf")),
    ("flax_model*.msgpack", _CONVERT.format("flax")),
    ("*.ckpt*.index", "the configuration beside a checkpoint is bert_config.json"),
    ("*.onnx", _NO_NAMES),
    ("onnx/*.onnx", _NO_NAMES),
    ("openvino_model.*", _NO_NAMES),
    ("*.gguf", "its weights are rounded; fetch model.safetensors"),
    ("*.safetensors", "name it model.safetensors"),
    ("*.bin", "name it pytorch_model.bin"),
    ("*.pt*", "name it pytorch_model.bin"),
)

ENCODER_PREFIXES = ("embeddings.", "encoder.", "pooler.")


def read_config(settings: Mapping[str, Any], source: str) -> BertConfig:
    """Convert the content of a config.json or bert_config.json to a configuration.

    Args:
      settings: the parsed JSON; keys that do not affect the computation are ignored.
      source: the file, for messages.

    Raises:
      ValueError: another model type, or an unsupported variant of BERT.
    """
    model_type = settings.get("model_type") or "bert"
    if model_type != "bert":
        raise ValueError(f"{source}: model_type {model_type!r}, and only bert is read")
    others = other_architectures(settings)
    if others and "model_type" not in settings:
        raise ValueError(
            f"{source}: no model_type, and the architecture {others[0]}, which is no "
            "BERT; its vectors would be others"
        )
    for key, needed in REFUSED:
        if settings.get(key) not in (None, needed):
            raise ValueError(
                f"{source}: {key} is {settings[key]!r}; only {needed!r} is BERT as "
                "published, and ignoring it would give wrong vectors"
            )
    try:
        fields = {
            ours: _setting(settings, theirs, default)
            for ours, theirs, default in CONFIG_KEYS
        }
        return BertConfig(**fields, labels=_labels(settings))
    except ValueError as error:
        message = str(error)
        for ours, theirs, _ in CONFIG_KEYS:
            message = re.sub(rf"\b{ours}\b", theirs, message)
        raise ValueError(f"{source}: {message}") from error


def other_architectures(settings: Mapping[str, Any]) -> list[str]:
    """Return the architectures that a config.json names and that are no BERT's."""
    named = settings.get("architectures") or []
    named = named if isinstance(named, list) else [named]
    return [str(each) for each in named if not _BERTS.fullmatch(str(each))]


def _setting(settings: Mapping[str, Any], key: str, default: Any) -> Any:
    """Return a setting, which must have the type of the default."""
    value = settings.get(key, default)
    if key == "pad_token_id" and value is None:
        return default  # there is none; padding is masked, so any piece will do
    match default:
        case bool():
            fits, kind = isinstance(value, bool), "true or false"
        case int():
            fits, kind = type(value) is int, "a whole number"
        case str():
            fits, kind = value in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}"
        case _:
            value = float(value) if type(value) is int else value  # 0 for 0.0
            fits, kind = isinstance(value, float) or value is default, "a number"
    if not fits:
        raise ValueError(f"{key} must be {kind}, not {json_text(value)}")
    return value


def _labels(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names in the order of their ids."""
    labels = settings.get("id2label") or {}
    if not isinstance(labels, dict):
        raise ValueError(f"id2label must map numbers to names, not be {labels!r}")
    numbered = [str(index) for index in range(len(labels))]
    if sorted(labels) != sorted(numbered):
        raise ValueError(f"id2label must number its {len(labels)} labels from 0 on")
    return tuple(str(labels[number]) for number in numbered)


def write_config(params: BertParams) -> dict[str, Any]:
    """Return the content of config.json."""
    config = params.config
    settings: dict[str, Any] = {
        "architectures": [architecture(params)],
        "model_type": "bert",
        "position_embedding_type": "absolute",
    }
    settings |= {theirs: getattr(config, ours) for ours, theirs, _ in CONFIG_KEYS}
    # In transformers their number is that of the outputs of any head.
    if config.labels and LABELLED & set(params.heads):
        settings["id2label"] = {str(i): name for i, name in enumerate(config.labels)}
        settings["label2id"] = {name: i for i, name in enumerate(config.labels)}
    return settings


def architecture(params: BertParams) -> str:
    """Return the name of the class in `transformers` that has these heads."""
    heads = set(params.heads)
    for head, name in ARCHITECTURES.items():
        if head in heads:
            return name
    if {"mlm", "nsp"} <= heads:
        return "BertForPreTraining"
    if "mlm" in heads:
        return "BertForMaskedLM"
    return "BertForNextSentencePrediction" if "nsp" in heads else "BertModel"


_is_marked = json_with(MARK)
MODEL = DirectoryKind(
    "a model of bert_jax.save",
    "config.json",
    lambda path: _is_marked(path / "config.json"),
    ("*.safetensors", "*.json", "*.model", "vocab.txt"),
)
"""What `save_directory` writes; a published model has no mark, and is not replaced."""


def load_directory(
    path: Path, *, encoder_only: bool, dtype: jnp.dtype
) -> tuple[BertParams, Tokenizer]:
    """Read a directory with config.json, weights and tokeniser files.

    Early directories have bert_config.json instead, in the same keys.

    Args:
      path: the directory.
      encoder_only: whether tensors above the encoder are left out.
      dtype: of the parameters.

    Raises:
      ValueError: see `bert_jax.load`.
    """
    check_files(path)
    config_path = path / "config.json"
    if not config_path.exists() and (path / EARLY_CONFIG).exists():
        config_path = path / EARLY_CONFIG
    settings = read_json(config_path)
    config = read_config(settings, str(config_path))
    tokenizer = load_tokenizer(path, config)
    tensors, source = _open_weights(path)
    tensors = _with_plain_names(tensors, source, encoder_only=encoder_only)
    heads = () if encoder_only else heads_of(tensors, settings, str(config_path))
    config = _with_labels(config, tensors, heads, str(config_path))
    _settle_decoder(tensors, config, source)
    params = assemble(tensors, config, heads, source, str(config_path), dtype)
    return params, tokenizer


def save_directory(path: Path, params: BertParams, tokenizer: Tokenizer) -> None:
    """Write config.json, model.safetensors and the tokeniser's files into `path`.

    Each tensor's checksum is in the metadata of the file, those of the other files in
    checksums.json.

    Raises:
      ValueError: parameters, configuration and tokeniser do not match, or a weight is
        not finite.
    """
    check_vocabulary(tokenizer, params.config, "the tokeniser")
    tensors = disassemble(params)
    check_savable(tensors)
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
    config_path, weights_path = path / "config.json", path / "model.safetensors"
    settings = write_config(params) | {MARK: "bert_jax.save"}
    text = json_text(settings, indent=2) + "\n"
    config_path.write_text(text, encoding="utf-8")
    tokenizer.save(path)
    checksums = {name: crc32_of(values) for name, values in tensors.items()}
    metadata = {"format": "pt", _CHECKSUMS_KEY: json_text(checksums)}
    safetensors.numpy.save_file(tensors, weights_path, metadata=metadata)
    _order_metadata(weights_path)
    # The library lets only the owner read its file, whatever the umask allows.
    shutil.copymode(config_path, weights_path)
    others = [file.name for file in path.iterdir() if file != weights_path]
    write_checksums(path, others)


def _order_metadata(path: Path) -> None:
    """Order the metadata of a safetensors file, which its library writes in any order.

    The same model saved by two processes is then the same bytes.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = parse_object(file.read(length), str(path))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json_text(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= length, "the same content takes the same room"
        file.seek(8)
        file.write(text.ljust(length))  # Spaces at its end belong to the format.


def has_weights(path: Path) -> bool:
    """Return whether a directory has weights in a form that is read here."""
    return any(
        (path / name).exists() or (path / f"{name}.index.json").exists()
        for name in WEIGHTS
    )


def _open_weights(path: Path) -> tuple[dict[str, TensorReader], str]:
    """Open the weight files of a directory; also return their name for messages."""
    for name, opened in zip(WEIGHTS, (_open_safetensors, _open_torch), strict=True):
        if (path / name).exists():
            return opened(path / name), str(path / name)
        # The same in several files.
        index = path / f"{name}.index.json"
        if index.exists():
            return _open_shards(index, opened), str(index)
    raise ValueError(f"{path} has no weights: {_other_weights(path)}")


def _open_shards(
    index: Path, opened: Callable[[Path], dict[str, TensorReader]]
) -> dict[str, TensorReader]:
    tensors: dict[str, TensorReader] = {}
    for shard in _shards(index):
        more = opened(index.parent / shard)
        for name in tensors.keys() & more.keys():
            raise ValueError(f"{index}: two of its files hold {name}")
        tensors |= more
    return tensors


def _other_weights(path: Path) -> str:
    """Name the weights of other programs in a directory, and the remedy."""
    for pattern, remedy in OTHER_WEIGHTS:
        for found in sorted(path.glob(pattern)):
            return f"there is {found.name}, but that is not read as it is: {remedy}"
    return "no model.safetensors or pytorch_model.bin there"


def _shards(index: Path) -> list[str]:
    """List the weight files (shards) of an index."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ValueError(f"{index}: no weight_map that tells the file of each tensor")
    files = {str(file) for file in weight_map.values()}
    for file in files:
        if Path(file).name != file:
            raise ValueError(
                f"{index}: weight_map names {file!r}, which does not lie beside it, "
                "and is not read"
            )
    return sorted(files)


def _open_safetensors(path: Path) -> dict[str, TensorReader]:
    try:
        file = safetensors.safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except safetensors.SafetensorError as error:
        cause = mistaken_file(path, text=False)
        if cause is not None:
            raise ValueError(f"{path} is no safetensors file but {cause}") from error
        raise _cut_short(path, error) from error

    def read(name: str) -> np.ndarray:
        try:
            return file.get_tensor(name)
        except (safetensors.SafetensorError, TypeError, KeyError) as error:
            raise _cut_short(path, error) from error

    tensors = {name: partial(read, name) for name in file.keys()}  # noqa: SIM118
    ours = (file.metadata() or {}).get(_CHECKSUMS_KEY)
    if ours is None:
        return tensors
    checksums = parse_object(ours, f"{path}: {_CHECKSUMS_KEY}")
    return {
        name: partial(_read_checked, read, checksums.get(name), f"{path}: {name}")
        for name, read in tensors.items()
    }


def _cut_short(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is damaged or cut short ({one_line(error)}); fetch it again"
    )


def _read_checked(read: TensorReader, checksum: Any, source: str) -> np.ndarray:
    """Read a tensor that `save_directory` wrote."""
    values = read()
    if crc32_of(values) != checksum:
        raise ValueError(
            f"{source} is damaged: it is not what was written (checksum); fetch the "
            "file again"
        )
    return values


def _open_torch(path: Path) -> dict[str, TensorReader]:
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    cause = mistaken_file(path, text=False)
    # PyTorch's own files are ZIP archives.
    if cause and not cause.startswith("a ZIP archive"):
        raise ValueError(f"{path} is no PyTorch file but {cause}")
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
    tensors = _state_of(tensors)
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and torch.is_tensor(values)
        for name, values in tensors.items()
    ):
        raise ValueError(f"{path} holds something else than tensors by name")
    for name, values in tensors.items():
        # One value may stand for any number of them, and would be written out here.
        if values.numel() * values.element_size() > values.untyped_storage().nbytes():
            raise ValueError(
                f"{path}: {name} has shape {list(values.shape)}, but fewer values"
            )

    def read(values: torch.Tensor) -> np.ndarray:
        values = values.detach()  # NumPy knows no bfloat16, so torch converts
        return (values.float() if values.is_floating_point() else values).numpy()

    return {name: partial(read, values) for name, values in tensors.items()}


def _state_of(loaded: Any) -> Any:
    """Return the weights out of what a trainer saved with the state of the training."""
    for key in STATES:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            return loaded[key]
    return loaded


def _with_plain_names(
    tensors: Mapping[str, TensorReader], source: str, *, encoder_only: bool
) -> dict[str, TensorReader]:
    """Rename tensors: without prefixes and the TensorFlow names of old files."""
    inner, outer = _prefixes(tensors, source)
    plain = {}
    for published, read in tensors.items():
        name = published.removeprefix(inner)
        if name == published:
            name = published.removeprefix(outer).removeprefix("bert.")
        # Only the last component: a rename inside a name has broken models before
        # (transformers#29554).
        stem, _, last = name.rpartition(".")
        if stem.endswith("LayerNorm"):
            name = f"{stem}.{ {'gamma': 'weight', 'beta': 'bias'}.get(last, last) }"
        is_encoder = name.startswith(("embeddings.", "encoder."))
        # A buffer 0, 1, 2, … that old versions saved.
        if name == "embeddings.position_ids" or (encoder_only and not is_encoder):
            continue
        if name in plain:
            raise ValueError(f"{source}: {name} stands there under two names")
        plain[name] = read
    return plain


def _prefixes(names: Iterable[str], source: str) -> tuple[str, str]:
    """Find what trainers put before the names of the encoder and of the heads.

    That is "module." of a model on several devices, or "model." of a larger model, and
    "bert." after it for the encoder.

    Raises:
      ValueError: there are several encoders.
    """
    found = {
        name.removesuffix(WORD_TABLE)
        for name in names
        if name.endswith(f".{WORD_TABLE}") or name == WORD_TABLE
    }
    if len({prefix.removesuffix("bert.") for prefix in found}) > 1:
        raise ValueError(
            f"{source} holds several encoders, of which one is read: their names begin "
            f"with {', '.join(map(repr, sorted(found)))}; save the one you mean alone"
        )
    inner = min(found, default="")
    return inner, inner.removesuffix("bert.")


def heads_of(
    tensors: Mapping[str, TensorReader], settings: Mapping[str, Any], source: str
) -> tuple[str, ...]:
    """Return the heads that weights have, by tensor names and the architecture.

    A head exists if any of its tensors does, so that missing ones are reported.

    Args:
      tensors: by published name.
      settings: of config.json.
      source: the file of the settings, for messages.

    Raises:
      ValueError: the architecture has a classifier of a kind that is not known.
    """

    def has(prefix: str) -> bool:
        return any(name.startswith(f"{prefix}.") for name in tensors)

    heads = []
    if has("cls.predictions"):
        heads.append("mlm")
    if has("cls.seq_relationship"):
        heads.append("nsp")
    if has("classifier"):
        heads.append(_kind_of_classifier(settings, source, with_pooler=has("pooler")))
    if has("qa_outputs"):
        heads.append("question_answering")
    if has("pooler") or NEED_POOLER & set(heads):
        heads.append("pooler")
    return tuple(heads)


def _kind_of_classifier(
    settings: Mapping[str, Any], source: str, *, with_pooler: bool
) -> str:
    """Return the head that tensors named "classifier" are, of several that they may be.

    The architecture says so, or, where it is none with a head, that of the pooler.
    """
    named = str(settings.get("architectures"))
    for head, name in ARCHITECTURES.items():
        if head != "question_answering" and name.removeprefix("BertFor") in named:
            return head
    for other in _BERT_WITH_HEAD.finditer(named):
        if other[0] not in PRETRAINING:
            raise ValueError(
                f"{source}: {other[0]} has a classifier, and what it classifies is not "
                f"known here ({', '.join(ARCHITECTURES.values())} are read); "
                f"{ENCODER_ONLY}"
            )
    return "sequence" if with_pooler else "token"


def _with_labels(
    config: BertConfig,
    tensors: Mapping[str, TensorReader],
    heads: tuple[str, ...],
    source: str,
) -> BertConfig:
    """Add class names where the file has none: transformers omits the default two."""
    if not LABELLED & set(heads) or "classifier.bias" not in tensors:
        return dataclasses.replace(config, labels=())
    num_labels = tensors["classifier.bias"]().size
    labels = config.labels or tuple(f"LABEL_{i}" for i in range(num_labels))
    if len(labels) != num_labels:
        raise ValueError(
            f"{source} names {len(labels)} labels, but classifier.bias has {num_labels}"
        )
    return dataclasses.replace(config, labels=labels)


def _settle_decoder(
    tensors: dict[str, TensorReader], config: BertConfig, source: str
) -> None:
    """Remove copies of the MLM head's tied tensors, which some files have."""
    bias, kept_bias = "cls.predictions.decoder.bias", "cls.predictions.bias"
    if bias in tensors and (not config.tied_decoder or kept_bias not in tensors):
        # An untied decoder of transformers reads this bias and not the other.
        tensors[kept_bias] = tensors.pop(bias)
    copies = {bias: kept_bias}
    if config.tied_decoder:
        table = "embeddings.word_embeddings.weight"
        copies["cls.predictions.decoder.weight"] = table
    for copy, original in copies.items():
        if copy not in tensors or original not in tensors:
            continue
        if not np.array_equal(tensors.pop(copy)(), tensors[original]()):
            raise ValueError(
                f"{source}: {copy} differs from {original}; if it is meant to, set "
                "tie_word_embeddings to false in config.json"
            )
