# SPDX-License-Identifier: Apache-2.0
"""The published names of a biLM's tensors, and conversion to and from our parameters.

One table serves HDF5 files and TensorFlow checkpoints. Both store matrices as [in,
out], as we do, so nothing is transposed; convolutions have a leading axis of one.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.typing import DTypeLike

from elmo_jax.bilm import Carry
from elmo_jax.config import NUM_CHARACTERS, ElmoConfig
from elmo_jax.params import ElmoParams
from embed_jax.files.finite import as_weights
from embed_jax.messages import list_first
from embed_jax.recurrence import LstmState

Path = tuple[str, ...]

EMBEDDING = "embedding"
SOFTMAX_WEIGHTS, SOFTMAX_BIAS = "softmax/W", "softmax/b"

CHARACTER_TENSOR = re.compile(r"char_embed|CNN(_high_\d+|_proj)?/\w+")
"""The names of the character CNN's tensors, below the first LSTM."""

DIRECTIONS = ("forward", "backward")

# The LSTMs as they are published; as bilm-tf's program that copies a checkpoint to HDF5
# leaves them where there is one layer (no MultiRNNCell) or one direction (no RNN_0, and
# names half translated); and as the checkpoint has them.
_CELL = re.compile(
    r"(?:RNN_(?P<direction>[01])/)?(?:RNN|rnn)/"
    r"(?:(?:MultiRNNCell/Cell|multi_rnn_cell/cell_)(?P<layer>\d+)/)?"
    r"(?:LSTMCell|lstm_cell)/(?P<part>W_0|kernel|B|bias|W_P_0|projection/kernel)"
)
_PARTS = {"kernel": "W_0", "bias": "B", "projection/kernel": "W_P_0"}

# Which option decides whether a tensor is there; the first that matches.
_DECIDING = (
    (r"char_embed|embedding", "char_cnn"),
    (r"CNN_high_", "char_cnn.n_highway"),
    (r"CNN_proj/", "char_cnn.filters and lstm.projection_dim"),
    (r"CNN/", "char_cnn.filters"),
    (r"RNN_1/", "bidirectional"),
    (r"RNN_0/.*W_P_0", "lstm.dim and lstm.projection_dim"),
    (r"RNN_0/|rnn/", "lstm.n_layers"),
)


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor in a file, not yet read.

    Attributes:
      source: the file, for messages.
      name: in the file.
      shape: in the file.
      read: reads the tensor, float32, so that only one is in memory. Raises ValueError
        if it is not a float or the file is damaged.
    """

    source: str
    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor of the published form.

    Attributes:
      path: its path in `{"encoder": …, "heads": …}`.
      name: its published name.
      dims: for each dimension its size and the option that sets it, such as `(512,
        "lstm.projection_dim 512")`.
      led_by_one: whether there is a leading dimension of one, which we leave out.
    """

    path: Path
    name: str
    dims: tuple[tuple[int, str], ...]
    led_by_one: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the published form."""
        return tuple(size for size, _ in self.dims)


def encoder_tensors(config: ElmoConfig) -> Iterator[Tensor]:
    """Yield every tensor of the biLM."""
    if config.char_cnn:
        yield from _character_tensors(config)
    else:
        dims = (config.vocab_size, "n_tokens_vocab"), _width(config)
        yield Tensor(("encoder", "words", "embedding"), EMBEDDING, dims)
    width, option = _width(config)
    cell = config.cell_dim, f"lstm.dim {config.cell_dim}"
    gates = 4 * cell[0], cell[1]
    for direction in range(config.num_directions):
        for layer in range(config.num_blocks):
            path = "encoder", f"{DIRECTIONS[direction]}_{layer}"
            group = _cell_group(direction, layer, config.num_blocks)
            kernel = (2 * width, option), gates
            yield Tensor((*path, "kernel"), f"{group}/W_0", kernel)
            yield Tensor((*path, "bias"), f"{group}/B", (gates,))
            if config.has_projection:
                projection = cell, (width, option)
                yield Tensor((*path, "projection"), f"{group}/W_P_0", projection)


def _character_tensors(config: ElmoConfig) -> Iterator[Tensor]:
    char_cnn, path = config.char_cnn, ("encoder", "char_cnn")
    assert char_cnn is not None
    symbols = NUM_CHARACTERS, f"the {NUM_CHARACTERS} characters there are"
    embedding_dim = char_cnn.embedding_dim
    embedding = embedding_dim, f"char_cnn.embedding.dim {embedding_dim}"
    yield Tensor((*path, "embedding"), "char_embed", (symbols, embedding))
    for index, (width, number) in enumerate(char_cnn.filters):
        option = f"filter {index} of char_cnn.filters, [{width}, {number}]"
        one, filters = (1, "the form of a convolution"), (number, option)
        ours = *path, f"convolution_{index}"
        kernel = one, (width, option), embedding, filters
        yield Tensor((*ours, "kernel"), f"CNN/W_cnn_{index}", kernel, led_by_one=True)
        yield Tensor((*ours, "bias"), f"CNN/b_cnn_{index}", (filters,))
    filters = char_cnn.num_filters, f"the {char_cnn.num_filters} of char_cnn.filters"
    for index in range(char_cnn.num_highways):
        # What is published as "carry" is the gate that lets the transformed through.
        for part, published in (("gate", "carry"), ("transform", "transform")):
            ours, theirs = (*path, f"highway_{index}", part), f"CNN_high_{index}"
            yield Tensor((*ours, "kernel"), f"{theirs}/W_{published}", (filters,) * 2)
            yield Tensor((*ours, "bias"), f"{theirs}/b_{published}", (filters,))
    if char_cnn.num_filters != config.projection_dim:
        ours, width = (*path, "projection"), _width(config)
        yield Tensor((*ours, "kernel"), "CNN_proj/W_proj", (filters, width))
        yield Tensor((*ours, "bias"), "CNN_proj/b_proj", (width,))


def softmax_tensors(
    config: ElmoConfig, num_words: int, *, tied: bool = False
) -> Iterator[Tensor]:
    """Yield the tensors of the softmax, which the directions share.

    Args:
      config: of the model.
      num_words: words of the softmax.
      tied: whether its weights are the word table, so that only its bias is stored.
    """
    words, path = (num_words, f"n_tokens_vocab {num_words}"), ("heads", "softmax")
    if not tied:
        yield Tensor((*path, "weights"), SOFTMAX_WEIGHTS, (words, _width(config)))
    yield Tensor((*path, "bias"), SOFTMAX_BIAS, (words,))


def start_tensors(config: ElmoConfig) -> Iterator[Tensor]:
    """Yield the states before a sentence's first boundary, under names of our own."""
    one = 1, "one sentence"
    cell = config.cell_dim, f"lstm.dim {config.cell_dim}"
    for direction in DIRECTIONS[: config.num_directions]:
        for layer in map(str, range(config.num_blocks)):
            for part, dim in (("cell", cell), ("hidden", _width(config))):
                path = direction, layer, part
                yield Tensor(path, "/".join(path), (one, dim))


def _width(config: ElmoConfig) -> tuple[int, str]:
    return config.projection_dim, f"lstm.projection_dim {config.projection_dim}"


def _cell_group(direction: int, layer: int, num_blocks: int) -> str:
    """Name the group of one LSTM."""
    # As bilm-tf's program that copies a checkpoint to HDF5 names them.
    stack = f"MultiRNNCell/Cell{layer}/" if num_blocks > 1 else ""
    return f"RNN_{direction}/RNN/{stack}LSTMCell"


def published_name(name: str, num_blocks: int) -> str:
    """Translate any of bilm-tf's names of a tensor into the one in the table.

    Args:
      name: of a dataset, or of a variable without `lm/`.
      num_blocks: LSTM layers of the model.

    Example:
      >>> published_name("rnn/MultiRNNCell/Cell1/LSTMCell/projection/kernel", 2)
      'RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0'
      >>> published_name("RNN_1/RNN/MultiRNNCell/Cell0/LSTMCell/B", 1)
      'RNN_1/RNN/LSTMCell/B'
    """
    match = _CELL.fullmatch(name)
    if not match:
        return name
    layer = int(match["layer"] or 0)
    if layer >= num_blocks:
        return name
    group = _cell_group(int(match["direction"] or 0), layer, num_blocks)
    return f"{group}/{_PARTS.get(match['part'], match['part'])}"


def match_tensors(
    stored: Iterable[Stored],
    wanted: Sequence[Tensor],
    config: ElmoConfig,
    source: str,
    options: str,
) -> list[tuple[Tensor, Stored]]:
    """Match the model's tensors with those of a file, without reading them.

    Args:
      stored: all tensors of the file.
      wanted: all tensors of the model.
      config: of the model.
      source: the file, for messages.
      options: the file with the model's options, for messages.

    Raises:
      ValueError: a tensor is missing, left over, duplicate or of another shape; names
        it, its file, and the option that contradicts it.
    """
    by_name: dict[str, Stored] = {}
    for tensor in stored:
        name = published_name(tensor.name, config.num_blocks)
        if name in by_name:
            raise ValueError(
                f"{tensor.source}: {by_name[name].name} and {tensor.name} are two "
                "names of one tensor; keep one of them"
            )
        by_name[name] = tensor
    missing = [tensor.name for tensor in wanted if tensor.name not in by_name]
    if missing:
        asking = _deciding_option(missing[0])
        because = f"{options} asks for it by {asking}" if asking else "the file is cut"
        raise ValueError(
            f"{source}: no tensor {list_first(missing)}; {because}, so do these files "
            "belong together?"
        )
    expected = {tensor.name for tensor in wanted}
    unexpected = [tensor for name, tensor in by_name.items() if name not in expected]
    if unexpected:
        asking = _deciding_option(unexpected[0].name)
        because = "it is no part of a biLM"
        if asking:
            because = f"{options} rules it out by {asking}"
        raise ValueError(
            f"{unexpected[0].source}: unexpected tensor "
            f"{list_first([tensor.name for tensor in unexpected])}; {because}, so do "
            "these files belong together?"
        )
    pairs = [(tensor, by_name[tensor.name]) for tensor in wanted]
    for tensor, found in pairs:
        _check_shape(tensor, found, options)
    return pairs


def read_tensors(
    pairs: Iterable[tuple[Tensor, Stored]],
    dtype: DTypeLike = jnp.float32,
) -> dict[Path, jax.Array]:
    """Read tensors one after another to the default device.

    Returns:
      Arrays of the dtype by path.

    Raises:
      ValueError: a tensor is not a float, or not finite, or its file is damaged.
    """
    leaves = {}
    for tensor, stored in pairs:
        values = as_weights(stored.read(), dtype, stored.name, str(stored.source))
        leaves[tensor.path] = jnp.asarray(values[0] if tensor.led_by_one else values)
    return leaves


def assemble(
    encoder: Sequence[Stored],
    softmax: Sequence[Stored],
    config: ElmoConfig,
    *,
    num_words: int,
    tied: bool,
    sources: tuple[str, str],
    options: str,
    dtype: DTypeLike = jnp.float32,
) -> ElmoParams:
    """Build parameters from stored tensors.

    Args:
      encoder: all tensors of the biLM in the files, and no others.
      softmax: all tensors of the softmax, or none.
      config: of the model, which determines the shapes.
      num_words: words of the softmax.
      tied: whether its weights are the word table, so that only its bias is stored.
      sources: the files of both, for messages.
      options: the file with the options, for messages.
      dtype: of the parameters.

    Returns:
      Parameters on the default device.

    Raises:
      ValueError: see `match_tensors` and `read_tensors`.
    """
    _check_depth(encoder, config, sources[0], options)
    wanted = list(encoder_tensors(config))
    pairs = match_tensors(encoder, wanted, config, sources[0], options)
    if softmax:
        wanted = list(softmax_tensors(config, num_words, tied=tied))
        pairs += match_tensors(softmax, wanted, config, sources[1], options)
    tree = unflatten_dict(read_tensors(pairs, dtype))
    heads = tree.get("heads", {})
    return ElmoParams(encoder=tree["encoder"], heads=heads, config=config)


def assemble_start(
    stored: Iterable[Stored], config: ElmoConfig, source: str, options: str
) -> Carry:
    """Build the states before a sentence from stored tensors.

    Raises:
      ValueError: see `match_tensors` and `read_tensors`.
    """
    stored = list(stored)
    _check_depth(stored, config, source, options)
    wanted = list(start_tensors(config))
    leaves = read_tensors(match_tensors(stored, wanted, config, source, options))
    return tuple(
        tuple(
            LstmState(
                leaves[direction, str(layer), "cell"],
                leaves[direction, str(layer), "hidden"],
            )
            for layer in range(config.num_blocks)
        )
        for direction in DIRECTIONS[: config.num_directions]
    )


def disassemble(
    params: ElmoParams,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the tensors of the published form by name, float32.

    Returns:
      Those of the biLM, and those of the softmax, if there is one.

    Raises:
      ValueError: the parameters do not fit their configuration.
    """
    tree = {"encoder": params.encoder, "heads": params.heads}
    leaves: dict[Path, Any] = flatten_dict(tree)
    encoder = _take(leaves, encoder_tensors(params.config))
    softmax = {}
    if "softmax" in params.heads:
        bias = params.heads["softmax"].get("bias", ())
        wanted = softmax_tensors(params.config, len(bias), tied=params.has_tied_softmax)
        softmax = _take(leaves, wanted)
    if leaves:
        names = list_first(["/".join(path) for path in leaves])
        raise ValueError(f"these parameters: {names} has no published name")
    return encoder, softmax


def disassemble_start(start: Carry, config: ElmoConfig) -> dict[str, np.ndarray]:
    """Return the states before a sentence by name, float32.

    Raises:
      ValueError: they do not fit the model.
    """
    leaves = {
        (DIRECTIONS[direction], str(layer), part): values
        for direction, states in enumerate(start)
        for layer, state in enumerate(states)
        for part, values in zip(("cell", "hidden"), state, strict=True)
    }
    tensors = _take(leaves, start_tensors(config))
    if leaves:
        raise ValueError("these parameters have more start states than layers")
    return tensors


def _take(leaves: dict[Path, Any], wanted: Iterable[Tensor]) -> dict[str, np.ndarray]:
    """Remove tensors from the leaves and return them by published name."""
    tensors = {}
    for tensor in wanted:
        place = "/".join(tensor.path)
        if tensor.path not in leaves:
            raise ValueError(f"these parameters have no {place}")
        values = np.asarray(leaves.pop(tensor.path), np.float32)
        values = values[None] if tensor.led_by_one else values
        if values.shape != tensor.shape:
            raise ValueError(
                f"these parameters: {place} has shape {list(values.shape)} where the "
                f"configuration makes it {list(tensor.shape)}"
            )
        tensors[tensor.name] = np.ascontiguousarray(values)
    return tensors


def _check_depth(
    stored: Sequence[Stored], config: ElmoConfig, source: str, options: str
) -> None:
    """Refuse more layers than there can be, before a list of their tensors is made."""
    num_highways = config.char_cnn.num_highways if config.char_cnn else 0
    for number, option in (
        (config.num_blocks, "lstm.n_layers"),
        (num_highways, "char_cnn.n_highway"),
    ):
        # Of fewer, the first that is missing is named.
        if number > len(stored) + 1000:
            raise ValueError(
                f"{source}: {options} asks for {number} layers by {option}, but these "
                f"are {len(stored)} tensors; do these files belong together?"
            )


def _check_shape(tensor: Tensor, stored: Stored, options: str) -> None:
    if stored.shape == tensor.shape:
        return
    differing = [
        option
        for index, (size, option) in enumerate(tensor.dims)
        if len(stored.shape) != len(tensor.dims) or stored.shape[index] != size
    ]
    reasons = " and ".join(dict.fromkeys(differing))
    raise ValueError(
        f"{stored.source}: {stored.name} has shape {list(stored.shape)}, but {options} "
        f"makes it {list(tensor.shape)} by {reasons}"
    )


def _deciding_option(name: str) -> str | None:
    """Return the option that determines whether a tensor exists, if there is one."""
    matching = (option for pattern, option in _DECIDING if re.match(pattern, name))
    return next(matching, None)


def find_stored(stored: Iterable[Stored], name: str) -> Stored | None:
    """Return the tensor of a name, or None."""
    return next((tensor for tensor in stored if tensor.name == name), None)
