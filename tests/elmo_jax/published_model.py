# SPDX-License-Identifier: Apache-2.0
"""Tiny models as they are published: options, HDF5 datasets, vocabulary.

The names and shapes are written down here once more, independently of the package.
"""

import copy
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Tensors = dict[str, np.ndarray]

WORDS = ["<S>", "</S>", "<UNK>", "the", "bank", "of", "river", "."]
SENTENCES = [["the", "bank", "of", "the", "river", "."], ["river", "bank"], ["."]]

OPTIONS: dict[str, Any] = {
    "lstm": {
        "dim": 6,
        "projection_dim": 4,
        "n_layers": 2,
        "cell_clip": 3,
        "proj_clip": 3,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "embedding": {"dim": 3},
        "filters": [[1, 2], [2, 3]],
        "activation": "relu",
        "n_highway": 2,
        "n_characters": 262,
        "max_characters_per_token": 20,
    },
}


def changed(options: dict, **changes: Any) -> dict:
    """Change options by their full names, dots as `__`; `...` leaves one out."""
    options = copy.deepcopy(options)
    for name, value in changes.items():
        *sections, key = name.split("__")
        section = options
        for part in sections:
            section = section[part]
        if value is ...:
            del section[key]
        else:
            section[key] = value
    return options


KINDS = {
    "characters": OPTIONS,
    "forward": changed(OPTIONS, bidirectional=False),
    "no_projections": changed(
        OPTIONS,
        lstm__dim=4,
        lstm__proj_clip=0.01,
        char_cnn__filters=[[1, 1], [2, 3]],
        char_cnn__n_highway=1,
        char_cnn__activation="tanh",
    ),
    "no_clips": changed(
        OPTIONS,
        lstm__cell_clip=None,
        lstm__proj_clip=...,
        lstm__use_skip_connections=False,
    ),
    "words": changed(OPTIONS, char_cnn=..., n_tokens_vocab=len(WORDS)),
    "one_layer": changed(OPTIONS, lstm__n_layers=1),
    "one_layer_of_words": changed(OPTIONS, char_cnn=..., lstm__n_layers=1),
    "one_layer_forward": changed(OPTIONS, lstm__n_layers=1, bidirectional=False),
    "three_layers": changed(OPTIONS, lstm__n_layers=3),
}


def published_shapes(options: dict) -> dict[str, tuple[int, ...]]:
    """Write down every dataset of the weights file, as bilm-tf dumps a checkpoint."""
    lstm = options["lstm"]
    H, P = lstm["dim"], lstm["projection_dim"]
    shapes: dict[str, tuple[int, ...]] = {}
    if "char_cnn" in options:
        cnn = options["char_cnn"]
        E, F = cnn["embedding"]["dim"], sum(number for _, number in cnn["filters"])
        shapes["char_embed"] = (261, E)
        for i, (width, number) in enumerate(cnn["filters"]):
            shapes[f"CNN/W_cnn_{i}"] = (1, width, E, number)
            shapes[f"CNN/b_cnn_{i}"] = (number,)
        for i in range(cnn["n_highway"]):
            for part in ("carry", "transform"):
                shapes[f"CNN_high_{i}/W_{part}"] = (F, F)
                shapes[f"CNN_high_{i}/b_{part}"] = (F,)
        if F != P:
            shapes["CNN_proj/W_proj"] = (F, P)
            shapes["CNN_proj/b_proj"] = (P,)
    else:
        shapes["embedding"] = (len(WORDS), P)
    for direction in range(1 + options.get("bidirectional", True)):
        for layer in range(lstm["n_layers"]):
            stack = f"MultiRNNCell/Cell{layer}/" if lstm["n_layers"] > 1 else ""
            cell = f"RNN_{direction}/RNN/{stack}LSTMCell"
            shapes[f"{cell}/W_0"] = (2 * P, 4 * H)
            shapes[f"{cell}/B"] = (4 * H,)
            if H != P:
                shapes[f"{cell}/W_P_0"] = (H, P)
    return shapes


def draw_tensors(options: dict, seed: int = 0) -> Tensors:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in published_shapes(options).items()
    }


def draw_softmax(options: dict, num_words: int = len(WORDS)) -> Tensors:
    rng = np.random.default_rng(1)
    P = options["lstm"]["projection_dim"]
    return {
        "softmax/W": rng.normal(size=(num_words, P)).astype(np.float32),
        "softmax/b": rng.normal(size=num_words).astype(np.float32),
    }


def write_hdf5(path: Path, tensors: Tensors) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in tensors.items():
            file[name] = values
    return path


def read_hdf5(path: Path) -> Tensors:
    tensors = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            tensors[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(collect)
    return tensors


def write_model(
    path: Path,
    options: dict,
    tensors: Tensors | None = None,
    *,
    softmax: Tensors | None = None,
    words: list[str] | None = WORDS,
    prefix: str = "",
) -> Path:
    """Write a model into a directory, drawing what is not given."""
    path.mkdir(exist_ok=True, parents=True)
    (path / f"{prefix}options.json").write_text(json.dumps(options))
    tensors = draw_tensors(options) if tensors is None else tensors
    write_hdf5(path / f"{prefix}weights.hdf5", tensors)
    if softmax is not None:
        write_hdf5(path / f"{prefix}softmax_weights.hdf5", softmax)
    if words is not None:
        (path / "vocab.txt").write_text("\n".join(words) + "\n")
    return path


def assert_same_tensors(ours: Tensors, theirs: Tensors) -> None:
    """Compare names, shapes, types and bytes."""
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert values.dtype == theirs[name].dtype == np.float32, name
        assert values.shape == theirs[name].shape, name
        assert values.tobytes() == theirs[name].tobytes(), name
