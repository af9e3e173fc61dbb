# SPDX-License-Identifier: Apache-2.0
"""Going on with a run, whose configuration need not be named again."""

import argparse
from pathlib import Path

from embed_jax.files.local_path import local_path
from embed_jax.files.run_directory import is_run
from train.called import called
from train.config import Pretraining
from train.new_run import command_from, command_on
from train.recorded import recorded


def experiment_of_run(arguments: list[str]) -> tuple[str, Pretraining]:
    """Return the configuration of the run that a command without CONFIG names.

    Args:
      arguments: of the command. That of --workdir is meant; if nothing is there yet,
        that of --init-from.

    Returns:
      The name of the run, and its configuration.

    Raises:
      ValueError: no run is named.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--workdir")
    parser.add_argument("--init-from")
    found, _ = parser.parse_known_args(arguments)
    for name in (found.workdir, found.init_from):
        if name is not None and is_run(local_path(name)):
            return name, recorded(local_path(name))
    where = (
        f"{found.workdir} is no run yet" if found.workdir else "no --workdir is given"
    )
    raise ValueError(
        f"{where}; to begin one, name a configuration first: {called('pretrain')} "
        "CONFIG --workdir RUN"
    )


def how_to_train_on(experiment: Pretraining, run: Path) -> str:
    """Return a line for a run that has made all of its steps."""
    if experiment.may_grow:
        return f"more of them: {command_on(run, 2 * experiment.num_steps)}"
    command = command_from(run, {"num_steps": experiment.num_steps})
    return f"from its weights, a new run begins by: {command}"
