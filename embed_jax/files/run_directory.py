# SPDX-License-Identifier: Apache-2.0
"""Reading of the directory of a training run: its configuration and weights.

    RUN/experiment.json         the configuration of the run
    RUN/model/                  the model's configuration and tokeniser, published form
    RUN/checkpoints/STEP/params the weights, an Orbax item
    RUN/metrics.jsonl           its metrics, a line each

The run may continue while its weights are read.
"""

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from embed_jax.files.finite import check_finite
from embed_jax.files.json_file import read_json
from embed_jax.messages import first_line

EXPERIMENT, MODEL, CHECKPOINTS, PARAMS, METRICS_ITEM = (
    "experiment.json",
    "model",
    "checkpoints",
    "params",
    "metrics",
)

# How often to look again where a checkpoint was removed while it was read.
_TRIES = 5


def is_run(path: Path) -> bool:
    """Return whether a path is the directory of a run."""
    return (path / EXPERIMENT).is_file() and (path / MODEL).is_dir()


def kind_of(path: Path) -> str:
    """Return the kind of model that a run trains: "bert" or "elmo".

    Raises:
      ValueError: the run's configuration lacks the kind.
    """
    source = path / EXPERIMENT
    kind = read_json(source).get("kind")
    if kind is None:
        raise ValueError(f"{source} is damaged; it does not name the model")
    return str(kind)


def saved_steps(path: Path) -> list[int]:
    """List the steps with complete checkpoints, ascending."""
    folder = path / CHECKPOINTS
    if not folder.is_dir():
        return []
    # What is being written, or half removed, has another name.
    return sorted(
        int(entry.name)
        for entry in folder.iterdir()
        if entry.name.isdecimal() and (entry / PARAMS).is_dir()
    )


def best_step(path: Path) -> int | None:
    """Return the saved step with the lowest held-out loss; None if none has a loss.

    Losses that are not finite are ignored.
    """
    losses: dict[int, float] = {}
    for step in saved_steps(path):
        metrics = path / CHECKPOINTS / str(step) / METRICS_ITEM / "metrics"
        # Of a checkpoint without a loss, or with one that is damaged, nothing is said.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            losses[step] = float(read_json(metrics)["loss"])
    numbers = [step for step, loss in losses.items() if math.isfinite(loss)]
    return min(numbers, key=losses.__getitem__, default=None)


def read_weights(path: Path, step: int | None = None) -> tuple[dict[str, Any], int]:
    """Read the weights of a run.

    Args:
      path: the directory of the run.
      step: of the checkpoint; by default the latest.

    Returns:
      The tree of weights, NumPy arrays, and its step.

    Raises:
      ValueError: there is no such checkpoint, it is damaged, or a weight is not finite.
    """
    # Late: text is prepared by processes that do not load jax.
    from embed_jax.tree import nest

    for attempt in range(_TRIES):
        steps = saved_steps(path)
        if not steps:
            raise ValueError(f"{path} holds no checkpoint yet; wait for its first one")
        chosen = steps[-1] if step is None else step
        if chosen not in steps:
            held = ", ".join(map(str, steps))
            raise ValueError(f"{path} has no checkpoint of step {chosen}, only {held}")
        source = path / CHECKPOINTS / str(chosen) / PARAMS
        try:
            named = _restore(source)
        except Exception as error:
            # Removed in the meantime, as old checkpoints are, or else damaged.
            if source.is_dir() or attempt == _TRIES - 1:
                raise ValueError(
                    f"{source} is damaged: {first_line(error)}; load another step, "
                    "or remove it and let the run write it again"
                ) from error
            continue
        for name, values in named.items():
            check_finite(values, name, str(source))
        return nest(named), chosen
    raise AssertionError("the last attempt returns or raises")


def _restore(source: Path) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp
    from etils import epath

    handler = ocp.PyTreeCheckpointHandler()
    path = epath.Path(source.absolute())
    names = handler.metadata(path).tree
    arguments = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    return handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=arguments))
