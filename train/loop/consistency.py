# SPDX-License-Identifier: Apache-2.0
"""Refuses to begin where the processes of one run would train different things."""

import json
import zlib
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from embed_jax.hosts.consensus import all_or_none, from_first
from train.config import Pretraining, to_json
from train.data.prepared import PREPARED
from train.objectives.objective import Params


def check_agreed(experiment: Pretraining, params: Params, mesh: Mesh) -> None:
    """Compare with the first process what all must have alike.

    Args:
      experiment: the configuration.
      params: the first weights.
      mesh: the devices.

    Raises:
      ValueError: says what a process has otherwise; in all of them.
    """
    if jax.process_count() == 1:
        return
    leaves = jax.tree.leaves(params)
    content = [to_json(experiment), list(mesh.shape.items())]
    ours = {
        "configuration": _digest(json.dumps(content).encode()),
        "prepared text": _digest((experiment.data.directory / PREPARED).read_bytes()),
        "first weights": _digest(*(np.asarray(leaf).tobytes() for leaf in leaves)),
    }
    theirs = {name: from_first(digest) for name, digest in ours.items()}
    different = [name for name in ours if ours[name] != theirs[name]]
    with all_or_none():
        if different:
            raise ValueError(
                f"process {jax.process_index()} has another {different[0]} than "
                "process 0; give all hosts the same command, the same prepared text "
                "and the same --init-from"
            )


def check_seen(path: Path, step: int | None) -> None:
    """Make sure that all processes see what the first one wrote.

    Args:
      path: of the run.
      step: of the latest checkpoint that this process sees.

    Raises:
      ValueError: one does not; in all of them.
    """
    ours = -1 if step is None else step
    theirs = from_first(ours)
    with all_or_none():
        if ours != theirs:
            raise not_shared(path)


def not_shared(path: Path) -> ValueError:
    """Return the error of a process that does not see what the first one wrote."""
    return ValueError(
        f"process {jax.process_index()} does not see in {path} what process 0 wrote "
        "there; the run has to lie on a file system that all hosts share"
    )


def _digest(*parts: bytes) -> int:
    digest = 0
    for part in parts:
        digest = zlib.crc32(part, digest)
    return digest & 0x7FFFFFFF  # as `from_first` takes it
