# SPDX-License-Identifier: Apache-2.0
"""Writes the weights of a run in the form that the field reads.

    python -m train.export runs/bert_tiny models/bert_tiny

A BERT becomes a Hugging Face directory, an ELMo options.json with HDF5 files. Of the
kept checkpoints the one with the least held-out loss is taken, or the latest where none
was measured.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

from embed_jax.exit_status import exit_status
from embed_jax.files.output_file import check_absent
from embed_jax.files.run_directory import best_step, is_run, saved_steps
from train.families.registry import family_of_run


@dataclasses.dataclass(frozen=True)
class Command:
    """Write the weights of a run as a Hugging Face directory (BERT) or HDF5 (ELMo)."""

    run: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN")]
    """The directory of the run; it may go on meanwhile."""
    model: Annotated[Path, tyro.conf.Positional, arg(metavar="MODEL")]
    """The directory to make."""
    step: int | None = None
    """Whose checkpoint; by default the best that is kept."""
    overwrite: bool = False
    """Replace a model that is there."""


def export(
    run: Path, model: Path, *, step: int | None = None, overwrite: bool = False
) -> int:
    """Write a run's weights as a model.

    Args:
      run: the directory of the run.
      model: the directory to make, whole or not at all.
      step: whose checkpoint; by default the best that is kept.
      overwrite: whether a model may be replaced.

    Returns:
      The step.

    Raises:
      ValueError: `run` is none, or it holds no such checkpoint.
      FileExistsError: `model` exists.
    """
    if not is_run(run):
        raise ValueError(
            f"{run} is no run of train.pretrain; it lacks experiment.json and model/"
        )
    check_absent(model, replace=overwrite)
    chosen = best_step(run) if step is None else step
    if chosen is None:
        chosen = saved_steps(run)[-1] if saved_steps(run) else None
    family = family_of_run(run)
    params, tokenizer = family.load_run(run, encoder_only=False, step=chosen)
    family.save(model, params, tokenizer, overwrite=overwrite)
    return chosen or 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    command = tyro.cli(Command, args=arguments, prog="python -m train.export")

    def action() -> None:
        step = export(
            command.run, command.model, step=command.step, overwrite=command.overwrite
        )
        sys.stdout.write(f"{command.model}: the weights of step {step}\n")

    return exit_status("train.export", action, "nothing was written")


if __name__ == "__main__":
    sys.exit(main())
