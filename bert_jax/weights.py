# SPDX-License-Identifier: Apache-2.0
"""The published names of BERT's tensors, and conversion to and from our parameters.

One table, with Hugging Face's names, serves every source; `bert_jax.google` translates
TensorFlow's names. PyTorch stores kernels as [out, in], so these are transposed.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.typing import DTypeLike

from bert_jax.config import BertConfig
from bert_jax.heads import ARCHITECTURES
from bert_jax.params import BertParams
from embed_jax.files.finite import as_weights
from embed_jax.messages import list_first

Path = tuple[str, ...]

TensorReader = Callable[[], np.ndarray]
"""A function that reads one published tensor, so that only one is in memory."""

FLOATS = ("float32", "float16", "bfloat16", "float64")

NEED_POOLER = {"nsp", "sequence", "multiple_choice"}
"""The heads that need the pooler."""

ENCODER_ONLY = (
    "bert_jax.load(…, encoder_only=True) leaves everything above the encoder out, and "
    "bert_jax.save keeps it so"
)
"""The remedy where a head is not known."""

_IN_ENCODER = re.compile(r"(bert/)?(embeddings|encoder)\b")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor of the published form.

    Attributes:
      path: its path in `{"encoder": …, "heads": …}`.
      name: its published name; encoder names without the `bert.` prefix.
      transposed: whether the published matrix is [out, in].
      shape: in the published form.
    """

    path: Path
    name: str
    transposed: bool
    shape: tuple[int, ...]


def published_tensors(config: BertConfig, heads: Sequence[str]) -> list[Tensor]:
    """List every tensor of an encoder with these heads.

    Raises:
      ValueError: an unknown head, a head without the pooler that it needs, or heads of
        two tasks, which no published model has.
    """
    if NEED_POOLER & set(heads) and "pooler" not in heads:
        raise ValueError(
            f"the heads {list_first(sorted(NEED_POOLER))} need the pooler, which is "
            "not there"
        )
    tasks = [head for head in ARCHITECTURES if head in heads]
    if len(tasks) > 1:
        raise ValueError(
            f"{' and '.join(tasks)} heads cannot stand in one file; save one"
        )
    tensors = [*encoder_tensors(config)]
    for head in heads:
        tensors.extend(head_tensors(head, config))
    return tensors


def encoder_tensors(config: BertConfig) -> Iterator[Tensor]:
    """Yield every tensor of the encoder."""
    dim, mlp = config.layer_dim, config.mlp_dim
    tables = (
        ("token", "word_embeddings", config.vocab_size),
        ("position", "position_embeddings", config.max_positions),
        ("segment", "token_type_embeddings", config.num_segments),
    )
    embeddings = ("encoder", "embeddings")
    for ours, theirs, rows in tables:
        path, name = (*embeddings, ours, "embedding"), f"embeddings.{theirs}.weight"
        yield Tensor(path, name, False, (rows, dim))
    yield from _norm((*embeddings, "norm"), "embeddings.LayerNorm", dim)
    for index in range(config.num_blocks):
        block, theirs = ("encoder", f"layer_{index}"), f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            name = f"{theirs}.attention.self.{part}"
            yield from _dense((*block, "attention", part), name, dim, dim)
        name = f"{theirs}.attention.output"
        yield from _dense((*block, "attention", "out"), f"{name}.dense", dim, dim)
        yield from _norm((*block, "attention_norm"), f"{name}.LayerNorm", dim)
        name = f"{theirs}.intermediate.dense"
        yield from _dense((*block, "mlp", "up"), name, dim, mlp)
        name = f"{theirs}.output"
        yield from _dense((*block, "mlp", "down"), f"{name}.dense", mlp, dim)
        yield from _norm((*block, "mlp_norm"), f"{name}.LayerNorm", dim)


def head_tensors(head: str, config: BertConfig) -> Iterator[Tensor]:
    """Yield every tensor of one head."""
    dim, path = config.layer_dim, ("heads", head)
    match head:
        case "pooler":
            yield from _dense((*path, "dense"), "pooler.dense", dim, dim)
        case "mlm":
            theirs = "cls.predictions"
            transform = f"{theirs}.transform"
            yield from _dense((*path, "transform"), f"{transform}.dense", dim, dim)
            yield from _norm((*path, "norm"), f"{transform}.LayerNorm", dim)
            vocab = config.vocab_size
            yield Tensor((*path, "bias"), f"{theirs}.bias", False, (vocab,))
            if not config.tied_decoder:
                name = f"{theirs}.decoder.weight"
                yield Tensor((*path, "decoder"), name, False, (vocab, dim))
        case "nsp":
            yield from _dense((*path, "dense"), "cls.seq_relationship", dim, 2)
        case "sequence" | "token":
            yield from _dense((*path, "dense"), "classifier", dim, len(config.labels))
        case "multiple_choice":
            yield from _dense((*path, "dense"), "classifier", dim, 1)
        case "question_answering":
            yield from _dense((*path, "dense"), "qa_outputs", dim, 2)
        case _:
            raise ValueError(f"no published name for a head {head!r}")


def _dense(path: Path, name: str, num_in: int, num_out: int) -> Iterator[Tensor]:
    yield Tensor((*path, "kernel"), f"{name}.weight", True, (num_out, num_in))
    yield Tensor((*path, "bias"), f"{name}.bias", False, (num_out,))


def _norm(path: Path, name: str, dim: int) -> Iterator[Tensor]:
    yield Tensor((*path, "scale"), f"{name}.weight", False, (dim,))
    yield Tensor((*path, "bias"), f"{name}.bias", False, (dim,))


def assemble(
    tensors: Mapping[str, TensorReader],
    config: BertConfig,
    heads: Sequence[str],
    source: str,
    settings: str = "",
    dtype: DTypeLike = jnp.float32,
) -> BertParams:
    """Build parameters from published tensors; each must be there, and no other.

    Args:
      tensors: by published name, encoder names without prefix; any float dtype.
      config: of the model, which determines the shapes.
      heads: the heads of the model.
      source: the file of the tensors, for messages.
      settings: the file of the configuration, for messages, if there is one.
      dtype: of the parameters.

    Returns:
      Parameters on the default device.

    Raises:
      ValueError: a tensor is missing, left over, of another shape, not a float or not
        finite; the message names it and the file.
    """
    described = f"the configuration ({settings})" if settings else "the configuration"
    check_depth(tensors, config, source, described)
    wanted = published_tensors(config, heads)
    missing = [tensor.name for tensor in wanted if tensor.name not in tensors]
    if missing:
        raise ValueError(
            f"{source}: no tensor {list_first(missing)}, which {described} asks for"
        )
    unexpected = sorted(set(tensors) - {tensor.name for tensor in wanted})
    if unexpected:
        remedy = ENCODER_ONLY
        if any(_IN_ENCODER.match(name) for name in unexpected):
            remedy = f"the encoder of {described} has no such part"
        raise ValueError(
            f"{source}: unexpected tensor {list_first(unexpected)}; {remedy}"
        )
    leaves = {}
    for tensor in wanted:
        values = tensors[tensor.name]()
        _check_shape(tensor, values.shape, source, described)
        if values.dtype.name not in FLOATS:
            raise ValueError(f"{source}: {tensor.name} is {values.dtype}, not a float")
        values = as_weights(values, dtype, tensor.name, source)
        # JAX transposes while it copies, faster than NumPy would.
        leaves[tensor.path] = jnp.asarray(values.T if tensor.transposed else values)
    tree = unflatten_dict(leaves)
    return BertParams(
        encoder=tree["encoder"], heads=tree.get("heads", {}), config=config
    )


def check_depth(
    names: Collection[str],
    config: BertConfig,
    source: str,
    described: str = "the configuration",
) -> None:
    """Refuse more blocks than there can be, before a list of their tensors is made.

    Raises:
      ValueError: the weights have fewer tensors than the configuration has blocks.
    """
    # Of fewer, the first that is missing is named.
    if config.num_blocks > len(names) + 1000:
        raise ValueError(
            f"{source}: no tensor encoder.layer.{config.num_blocks - 1}…; "
            f"{described} has {config.num_blocks} blocks (num_hidden_layers), and "
            f"these are {len(names)} tensors"
        )


def disassemble(params: BertParams) -> dict[str, np.ndarray]:
    """Return the tensors of the published form, by name, without prefix; float32.

    Raises:
      ValueError: the parameters do not fit their configuration.
    """
    source = "these parameters"
    leaves = flatten_dict({"encoder": params.encoder, "heads": params.heads})
    tensors = {}
    for tensor in published_tensors(params.config, tuple(params.heads)):
        if tensor.path not in leaves:
            raise ValueError(f"{source} have no {'/'.join(tensor.path)}")
        values = np.asarray(leaves.pop(tensor.path), np.float32)
        values = values.T if tensor.transposed else values
        _check_shape(tensor, values.shape, source)
        tensors[tensor.name] = np.ascontiguousarray(values)
    if leaves:
        names = list_first(["/".join(path) for path in leaves])
        raise ValueError(f"{source}: {names} has no published name")
    return tensors


def _check_shape(
    tensor: Tensor,
    shape: tuple[int, ...],
    source: str,
    described: str = "their configuration",
) -> None:
    if shape != tensor.shape:
        raise ValueError(
            f"{source}: {tensor.name} has shape {list(shape)}, but {described} "
            f"makes it {list(tensor.shape)}"
        )
