# SPDX-License-Identifier: Apache-2.0
"""One set of weights for the model and for its oracle, under the names of each."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

import elmo_jax
from elmo_jax import ElmoConfig, ElmoParams, ElmoTokens, Vocabulary
from elmo_jax.bilm import Carry
from elmo_jax.characters import PADDING
from embed_jax.recurrence import LstmState
from tests.oracles import bilm

DIRECTIONS = ("forward", "backward")


# The same program in half the time to compile: LLVM leaves its code as XLA wrote it.
QUICKLY = {"xla_backend_optimization_level": 0}
jit = functools.partial(jax.jit, compiler_options=QUICKLY)
run_model = jit(elmo_jax.apply_bilm)


def draw_params(config: ElmoConfig, seed: int = 0) -> ElmoParams:
    """Draw weights that take the gates far from their middle, and biases of all kinds.

    Fresh ones would not do: their biases are zero, and their gates half open.
    """
    # Dicts of one's own, which a test may change.
    return jax.tree.map(lambda leaf: leaf, _draw_params(config, seed))


@functools.cache
def _draw_params(config: ElmoConfig, seed: int) -> ElmoParams:
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(
        lambda key: elmo_jax.init_params(key, config), jax.random.key(0)
    )

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        *_, module, name = (str(getattr(part, "key", part)) for part in path)
        values = rng.normal(size=leaf.shape)
        fan_in = np.prod(leaf.shape[:-1])
        if module == "char_cnn":
            values = rng.uniform(-1, 1, leaf.shape)
        elif name == "bias":
            values *= 2.0 if module.startswith(DIRECTIONS) else 0.5
        elif name == "kernel":
            gain = 2.0 if module.startswith(DIRECTIONS) else 1.0
            values *= gain / np.sqrt(fan_in)
        elif name == "projection":
            values /= np.sqrt(fan_in)
        return jnp.asarray(values, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def oracle_options(config: ElmoConfig) -> dict:
    """Write the configuration as options.json does."""
    options: dict = {
        "bidirectional": config.bidirectional,
        "lstm": {
            "dim": config.cell_dim,
            "projection_dim": config.projection_dim,
            "n_layers": config.num_blocks,
            "cell_clip": config.cell_clip,
            "proj_clip": config.projection_clip,
            "use_skip_connections": config.skip_connections,
        },
    }
    if config.char_cnn:
        options["char_cnn"] = {
            "embedding": {"dim": config.char_cnn.embedding_dim},
            "filters": [list(pair) for pair in config.char_cnn.filters],
            "activation": config.char_cnn.activation,
            "n_highway": config.char_cnn.num_highways,
            "max_characters_per_token": config.char_cnn.max_characters,
        }
    return options


def oracle_weights(params: ElmoParams) -> dict[str, np.ndarray]:
    """Give the weights the names and shapes of the published files."""
    config, encoder = params.config, params.encoder
    weights = {}
    if config.char_cnn:
        cnn = encoder["char_cnn"]
        weights["char_embed"] = cnn["embedding"]
        for index in range(len(config.char_cnn.filters)):
            convolution = cnn[f"convolution_{index}"]
            weights[f"CNN/W_cnn_{index}"] = convolution["kernel"][None]
            weights[f"CNN/b_cnn_{index}"] = convolution["bias"]
        for index in range(config.char_cnn.num_highways):
            highway, name = cnn[f"highway_{index}"], f"CNN_high_{index}"
            for ours, theirs in (("gate", "carry"), ("transform", "transform")):
                weights[f"{name}/W_{theirs}"] = highway[ours]["kernel"]
                weights[f"{name}/b_{theirs}"] = highway[ours]["bias"]
        if "projection" in cnn:
            weights["CNN_proj/W_proj"] = cnn["projection"]["kernel"]
            weights["CNN_proj/b_proj"] = cnn["projection"]["bias"]
    else:
        weights["embedding"] = encoder["words"]["embedding"]
    for direction, side in enumerate(DIRECTIONS[: config.num_directions]):
        for layer in range(config.num_blocks):
            cell = encoder[f"{side}_{layer}"]
            name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            weights[f"{name}/W_0"] = cell["kernel"]
            weights[f"{name}/B"] = cell["bias"]
            if config.has_projection:
                weights[f"{name}/W_P_0"] = cell["projection"]
    return {name: np.asarray(value) for name, value in weights.items()}


def run_oracle(
    params: ElmoParams,
    words: Sequence[str],
    vocabulary: Vocabulary | None = None,
    state: bilm.State | None = None,
) -> tuple[np.ndarray, bilm.State]:
    """Run the oracle on one sentence: layers [L+1, n, D] and the state after it."""
    options, weights = oracle_options(params.config), oracle_weights(params)
    ids = None if vocabulary is None else vocabulary.ids
    return bilm.run_sentence(options, weights, words, ids, state)


def oracle_state(carry: Carry, row: int = 0) -> bilm.State:
    """Take one row of a carry as the oracle's state."""
    return [
        [tuple(np.asarray(part[row], np.float64) for part in layer) for layer in way]
        for way in carry
    ]


def draw_carry(config: ElmoConfig, num_rows: int, seed: int = 0) -> Carry:
    """Draw states of the size that LSTMs leave."""
    rng = np.random.default_rng(seed)

    def draw(width: int) -> jax.Array:
        return jnp.asarray(rng.uniform(-0.3, 0.3, (num_rows, width)), jnp.float32)

    return tuple(
        tuple(
            LstmState(draw(config.cell_dim), draw(config.projection_dim))
            for _ in range(config.num_blocks)
        )
        for _ in range(config.num_directions)
    )


def widen(
    tokens: ElmoTokens, config: ElmoConfig, num_rows: int, num_types: int
) -> ElmoTokens:
    """Fill a batch up to a shape that others have too, to compile once for all."""
    types = tokens.types
    if config.char_cnn:
        length = config.char_cnn.max_characters
        types = np.full((len(types), length), PADDING, np.int32)
        types[:, : tokens.types.shape[1]] = tokens.types
    grown = [(0, num_types - len(types)), *[(0, 0)] * (types.ndim - 1)]
    rows = [(0, num_rows - len(tokens.words)), (0, 0)]
    return ElmoTokens(
        np.pad(types, grown), *(np.pad(leaf, rows) for leaf in tokens[1:])
    )


def join(
    tokenizer: elmo_jax.ElmoTokenizer,
    rows: Sequence[Sequence[Sequence[str]]],
    pad_to: int | None = None,
) -> ElmoTokens:
    """Put the sentences of each row end to end, by hand."""
    joined = [[word for sentence in row for word in sentence] for row in rows]
    length = max(map(len, joined)) if pad_to is None else pad_to
    tokens = tokenizer.collate(joined, length)
    starts, ends = np.zeros_like(tokens.mask), np.zeros_like(tokens.mask)
    for index, row in enumerate(rows):
        place = 0
        for sentence in row:
            starts[index, place] = True
            place += len(sentence)
            ends[index, place - 1] = True
    return tokens._replace(starts=starts, ends=ends)
