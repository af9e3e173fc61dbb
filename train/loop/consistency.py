# SPDX-License-Identifier: Apache-2.0
"""Checks that all processes of a run have the same configuration, weights and files."""

import zlib
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from embed_jax.files.json_file import json_text
from embed_jax.hosts.consensus import all_or_none, from_first
from train.config import Pretraining, to_json
from train.data.prepared import PREPARED
from train.objectives.objective import Params


def check_agreed(experiment: Pretraining, params: Params, mesh: Mesh) -> None:
    """Check that configuration, weights and devices equal those of the first process.

    Args:
      experiment: the configuration.
      params: the initial weights.
      mesh: the devices.

    Raises:
      ValueError: names the difference; raised in all processes.
    """
    if jax.process_count() == 1:
        return
    leaves = jax.tree.leaves(params)
    content = [to_json(experiment), list(mesh.shape.items())]
    ours = {
        "configuration": _digest(json_text(content).encode()),
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
    """Check that all processes see the files that the first one wrote.

    Args:
      path: of the run.
      step: of the latest checkpoint that this process sees.

    Raises:
      ValueError: a process does not see them; raised in all processes.
    """
    ours = -1 if step is None else step
    theirs = from_first(ours)
    with all_or_none():
        if ours != theirs:
            raise not_shared(path)


def not_shared(path: Path) -> ValueError:
    """Return the error for a process that does not see the first one's files."""
    return ValueError(
        f"process {jax.process_index()} does not see in {path} what process 0 wrote "
        "there; the run has to lie on a file system that all hosts share"
    )


def _digest(*parts: bytes) -> int:
    digest = 0
    for part in parts:
        digest = zlib.crc32(part, digest)
    return digest & 0x7FFFFFFF  # as `from_first` takes it
