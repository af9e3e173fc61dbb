# SPDX-License-Identifier: Apache-2.0
"""Reading of the directory of a training run: its configuration and weights.

    RUN/experiment.json         the configuration of the run
    RUN/model/                  the model's configuration and tokeniser, published form
    RUN/checkpoints/STEP/params the weights, an Orbax item
    RUN/checkpoints/STEP/checksums
                                of all that a checkpoint holds
    RUN/metrics.jsonl           its metrics, a line each

The run may continue while its weights are read.
"""

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embed_jax.checks import check_whole
from embed_jax.files.bucket import in_bucket
from embed_jax.files.checked_files import check_files
from embed_jax.files.finite import as_weights
from embed_jax.files.json_file import json_text, read_json
from embed_jax.files.restoring import why_not_read

EXPERIMENT, MODEL, CHECKPOINTS, PARAMS, METRICS_ITEM, CHECKSUMS_ITEM = (
    "experiment.json",
    "model",
    "checkpoints",
    "params",
    "metrics",
    "checksums",
)

FORM = 1
"""The form of experiment.json; another where earlier code would read a run wrongly. A
field that is added with a default is no other form."""
_FORM_KEY = "form"

# What Orbax writes last into a checkpoint in a bucket.
_COMMITTED = "commit_success.txt"
# How often to look again where a checkpoint was removed while it was read.
_TRIES = 5
_REMEDY = "load another step, or remove it and let the run write it again"


def is_run(path: Path) -> bool:
    """Return whether a path is the directory of a run."""
    return (path / EXPERIMENT).is_file() and (path / MODEL).is_dir()


def read_experiment(path: Path) -> dict[str, Any]:
    """Return the content of a run's experiment.json, without its form.

    Raises:
      ValueError: it is missing, damaged, or of a later version.
    """
    check_files(path, [EXPERIMENT])
    content = read_json(path / EXPERIMENT)
    # A run of an earlier version has none.
    form = content.pop(_FORM_KEY, 0) if isinstance(content, dict) else 0
    if type(form) is not int or form > FORM:
        raise ValueError(
            f"{path / EXPERIMENT} is of form {form}, and this version reads forms up "
            f"to {FORM}; go on with the version that began the run, or a later one"
        )
    return content


def written_experiment(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a run's experiment.json, with its form."""
    return (json_text({_FORM_KEY: FORM, **content}, indent=2) + "\n").encode("utf-8")


def kind_of(path: Path) -> str:
    """Return the kind of model that a run trains: "bert" or "elmo".

    Raises:
      ValueError: the run's configuration is damaged, or lacks the kind.
    """
    kind = read_experiment(path).get("kind")
    if kind is None:
        raise ValueError(f"{path / EXPERIMENT} is damaged; it does not name the model")
    return str(kind)


def refuse_step(path: Path, step: int | None) -> None:
    """Refuse a step where there is no run whose checkpoints could have it.

    Args:
      path: of a model that is no run.
      step: what `load` was asked for; None is allowed.

    Raises:
      ValueError: there is a step.
    """
    if step is not None:
        raise ValueError(
            f"load(): step {step!r} is of a training run, and {path} is none: it lacks "
            f"{EXPERIMENT} and {MODEL}/; leave step out"
        )


def saved_steps(path: Path) -> list[int]:
    """List the steps with complete checkpoints, ascending."""
    folder = path / CHECKPOINTS
    if not folder.is_dir():
        return []
    # What is being written, or half removed, has another name.
    return sorted(
        int(entry.name)
        for entry in folder.iterdir()
        if entry.name.isdecimal() and is_complete(entry)
    )


def is_complete(checkpoint: Path) -> bool:
    """Return whether a checkpoint is there that Orbax has finished."""
    # In a bucket nothing can be renamed, and a mark says that all has come.
    if in_bucket(checkpoint) and not (checkpoint / _COMMITTED).is_file():
        return False
    return (checkpoint / PARAMS).is_dir()


def best_step(path: Path, after: int = 0) -> int | None:
    """Return the saved step with the lowest held-out loss; None if none has a loss.

    Losses that are not finite are ignored.

    Args:
      path: the directory of the run.
      after: the steps up to this one are of another phase, whose losses do not compare.

    Raises:
      ValueError: the metrics of a checkpoint are damaged, so they tell nothing.
    """
    losses: dict[int, float] = {}
    for step in saved_steps(path):
        loss = held_out_loss(path, step) if step > after else None
        if loss is not None:
            losses[step] = loss
    numbers = [step for step, loss in losses.items() if math.isfinite(loss)]
    return min(numbers, key=losses.__getitem__, default=None)


def held_out_loss(path: Path, step: int) -> float | None:
    """Return the held-out loss of a run's checkpoint; None if it was not measured.

    Raises:
      ValueError: the metrics of the checkpoint are damaged.
    """
    metrics = read_item(path / CHECKPOINTS / str(step), METRICS_ITEM)
    loss = (metrics or {}).get("loss")
    return loss if isinstance(loss, int | float) else None


def read_item(checkpoint: Path, name: str) -> dict[str, Any] | None:
    """Read an item of a checkpoint that is JSON, and check it; None if it is missing.

    Args:
      checkpoint: the directory of its step.
      name: of the item.

    Raises:
      ValueError: it is damaged.
    """
    # As Orbax names the file of its metrics, and of other JSON.
    source = checkpoint / name / (name if name == METRICS_ITEM else "metadata")
    if not source.is_file():
        return None
    content = read_json(source)
    if name != CHECKSUMS_ITEM:
        held = read_checksum(checkpoint, name)
        if held is not None and held != checksum_item(content):
            raise ValueError(
                f"{source} is damaged: it is not what was written (checksum); remove "
                f"{checkpoint}"
            )
    return content


def read_checksum(checkpoint: Path, name: str) -> Any:
    """Return the checksums of an item; None in a checkpoint of an earlier version.

    Raises:
      ValueError: the checksums are damaged.
    """
    checksums = read_item(checkpoint, CHECKSUMS_ITEM)
    if checksums is None:
        return None
    if name not in checksums:
        raise ValueError(
            f"{checkpoint / CHECKSUMS_ITEM} is damaged: it has none of {name}; remove "
            f"{checkpoint}"
        )
    return checksums[name]


def checksum_item(content: Mapping[str, Any]) -> str:
    """Return the CRC-32 of a JSON object, whatever the order of its keys.

    Example:
      >>> checksum_item({"step": 3, "loss": 0.5}) == checksum_item(
      ...     {"loss": 0.5, "step": 3}
      ... )
      True
    """
    # As it is read again: tuples are lists then, and keys are text.
    plain = json.loads(json.dumps(content))
    return f"{zlib.crc32(json.dumps(plain, sort_keys=True).encode()):08x}"


def params_of(path: Path, step: int) -> Path:
    """Return the directory of the weights of a run's checkpoint."""
    return path / CHECKPOINTS / str(step) / PARAMS


def read_weights(
    path: Path, step: int | None = None, dtype: Any = np.float32
) -> tuple[dict[str, Any], int]:
    """Read the weights of a run.

    Args:
      path: the directory of the run.
      step: of the checkpoint; by default the latest.
      dtype: of the weights, float32 in the file.

    Returns:
      The tree of weights, NumPy arrays, and its step.

    Raises:
      ValueError: there is no such checkpoint, it is damaged, or a weight is not finite.
      OSError: memory or permission is lacking.
    """
    # Late: text is prepared by processes that do not load jax.
    from embed_jax.files.leaf_checksum import check_leaves
    from embed_jax.tree import nest

    check_whole("step", step)
    for attempt in range(_TRIES):
        steps = saved_steps(path)
        if not steps:
            raise ValueError(f"{path} holds no checkpoint yet; wait for its first one")
        chosen = steps[-1] if step is None else step
        if chosen not in steps:
            held = ", ".join(map(str, steps))
            raise ValueError(f"{path} has no checkpoint of step {chosen}, only {held}")
        source = params_of(path, chosen)
        try:
            held = read_checksum(source.parent, PARAMS)
            named = _restore(source)
            if held is not None:
                check_leaves(named, held, str(source))
        except Exception as error:
            # Removed in the meantime, as old checkpoints are, or else damaged.
            if is_complete(source.parent) or attempt == _TRIES - 1:
                if str(error).startswith(str(source.parent)):
                    raise ValueError(f"{error}; {_REMEDY}") from error
                raise why_not_read(source, error, _REMEDY) from error
            continue
        weights = {
            name: as_weights(values, dtype, name, str(source))
            for name, values in named.items()
        }
        return nest(weights), chosen
    raise AssertionError("the last attempt returns or raises")


def _restore(source: Path) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp
    from etils import epath

    handler = ocp.PyTreeCheckpointHandler()
    path = epath.Path(str(source.absolute()))
    names = handler.metadata(path).tree
    arguments = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    return handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=arguments))
