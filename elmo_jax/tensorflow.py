# SPDX-License-Identifier: Apache-2.0
"""Reading of the TensorFlow checkpoints of bilm-tf, which include the softmax."""

import re
from pathlib import Path

import numpy as np

from elmo_jax.weights import Stored
from embed_jax.files.tensorflow_checkpoint import (
    TensorFlowCheckpoint,
    read_tensorflow_checkpoint,
)

FLOATS = ("float32", "float16", "bfloat16")

# Optimiser slots and counters; not part of the model.
TRAINING_ONLY = re.compile(
    r"(.*/)?(Adagrad|Adam|Adam_1|Momentum|beta[12]_power|global_step|train_perplexity)"
)

# The line that TensorFlow's saver writes for the newest of a directory's checkpoints.
_LATEST = re.compile(r'^model_checkpoint_path: "(.*)"\s*$', re.MULTILINE)


def open_checkpoint(prefix: Path) -> list[Stored]:
    """List the variables of a checkpoint that are part of the model.

    Args:
      prefix: the common path prefix of the checkpoint's files.

    Raises:
      ValueError: a file is missing or damaged.
    """
    try:
        variables = read_tensorflow_checkpoint(prefix)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    return [
        _stored(variables, name)
        for name in variables
        if not TRAINING_ONLY.fullmatch(name)
    ]


def _stored(variables: TensorFlowCheckpoint, variable: str) -> Stored:
    source = str(variables.prefix)

    def read() -> np.ndarray:
        values = variables[variable]
        if values.dtype.name not in FLOATS:
            raise ValueError(f"{source}: {variable} is {values.dtype}, not a float")
        return values.astype(np.float32, copy=False)

    name = variable.removeprefix("lm/")
    return Stored(source, name, variables.shapes[variable], read)


def find_checkpoints(directory: Path) -> list[Path]:
    """Return the prefixes of a directory's checkpoints, or only that of the newest.

    A training run leaves several, and a file "checkpoint" that names the newest. That
    file has the path of the training machine, so only its last component is used.
    """
    prefixes = [path.with_suffix("") for path in sorted(directory.glob("*.index"))]
    state = directory / "checkpoint"
    if len(prefixes) > 1 and state.is_file():
        match = _LATEST.search(state.read_text(encoding="utf-8", errors="replace"))
        newest = directory / Path(match[1]).name if match else None
        return [newest] if newest in prefixes else prefixes
    return prefixes
