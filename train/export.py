# SPDX-License-Identifier: Apache-2.0
"""Exports the weights of a run as a model in the published format.

    python -m train.export runs/bert_tiny models/bert_tiny

A BERT becomes a Hugging Face directory, an ELMo options.json with HDF5 files. The
exported checkpoint is the one with the lowest held-out loss, or the latest if none was
evaluated; `--latest` takes the latest whatever its loss. Of a run in phases, such as
short rows first and long ones then, only the last phase is looked at: the losses of two
phases do not compare. The last line says which.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

from embed_jax.checks import check_at_least, check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.exit_status import exit_status
from embed_jax.files.bucket import run_path
from embed_jax.files.claim import claim
from embed_jax.files.local_path import local_path
from embed_jax.files.output_file import check_absent, check_not_read
from embed_jax.files.run_directory import (
    CHECKPOINTS,
    best_step,
    held_out_loss,
    is_run,
    read_item,
    saved_steps,
)
from train.called import called
from train.families.registry import family_of_run
from train.loop.checkpoint import POSITION
from train.loop.progress import EPOCH
from train.recorded import recorded


@dataclasses.dataclass(frozen=True)
class Command:
    """Write the weights of a run as a Hugging Face directory (BERT) or HDF5 (ELMo)."""

    run: Annotated[Path, tyro.conf.Positional, arg(metavar="RUN")]
    """The directory of the run, finished or running; it may be in a bucket."""
    model: Annotated[Path, tyro.conf.Positional, arg(metavar="MODEL")]
    """The directory to make."""
    step: int | None = None
    """Step of the checkpoint; by default the best that is kept."""
    latest: bool = False
    """Take the latest checkpoint, not the best."""
    overwrite: bool = False
    """Replace an existing model, if it was saved here."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 0, "step")


def export(
    run: Path, model: Path, *, step: int | None = None, overwrite: bool = False
) -> int:
    """Write a run's weights as a model.

    Args:
      run: the directory of the run.
      model: the directory to make, atomically.
      step: of the checkpoint; by default the best that is kept.
      overwrite: whether an existing model may be replaced.

    Returns:
      The step.

    Raises:
      ValueError: `run` is not a run, or has no such checkpoint.
      FileExistsError: `model` exists, and may not be replaced or was not saved here.
      BlockingIOError: another process is writing it.
    """
    run, model = run_path(run), local_path(model)
    if not is_run(run):
        raise ValueError(
            f"{run} is no run of train.pretrain; it lacks experiment.json and model/"
        )
    if model.exists():
        check_not_read(model, [run])
    check_absent(model, replace=overwrite)
    with claim(model):
        check_absent(model, replace=overwrite)
        return _export(run, model, step, overwrite=overwrite)


def _export(run: Path, model: Path, step: int | None, *, overwrite: bool) -> int:
    chosen = step
    if step is None:
        chosen = _best(run) or _latest(run)
    family = family_of_run(run)
    params, tokenizer = family.load_run(run, encoder_only=False, step=chosen)
    family.save(model, params, tokenizer, overwrite=overwrite)
    return chosen or 0


def _latest(run: Path) -> int | None:
    return saved_steps(run)[-1] if saved_steps(run) else None


def _best(run: Path) -> int | None:
    return best_step(run, _phase_began(run))


def _phase_began(run: Path) -> int:
    """Return the number of steps before the phase of a run's latest checkpoint."""
    latest = _latest(run) or 0
    try:
        phases = recorded(run).phases()
    except ValueError:
        # Of a class that the user's own configuration defines; a checkpoint tells too,
        # but for those of earlier versions.
        position = read_item(run / CHECKPOINTS / str(latest), POSITION) or {}
        return int(position.get(EPOCH, {}).get("phase", 0))
    return max((phase.first for phase in phases if phase.first < latest), default=0)


def describe(run: Path, step: int) -> str:
    """Return which of a run's checkpoints one is: its step, and its held-out loss.

    Example: "the weights of step 600, held-out loss 2.31, the best of the 3 kept; the
    latest is of step 900".
    """
    loss = held_out_loss(run, step)
    measured = "" if loss is None else f", held-out loss {loss:.4g}"
    best, latest, began = _best(run), _latest(run), _phase_began(run)
    kept = [kept for kept in saved_steps(run) if kept > began]
    of_phase = " in the last phase" if began else ""
    standing = []
    if step == best:
        best_of = f"the best of the {len(kept)} kept{of_phase}"
        standing.append(best_of if len(kept) > 1 else "")
    if step == latest:
        standing.append("the latest")
    if best is None:
        standing.append(f"none was measured on held-out text{of_phase}")
    elif step != best:
        standing.append(f"the best kept{of_phase} is of step {best}")
    if step != latest:
        standing.append(f"the latest is of step {latest}")
    told = "; ".join(filter(None, standing))
    return f"the weights of step {step}{measured}: {told}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""

    def action() -> None:
        command = parse_command(Command, arguments, prog=called("export"))
        run, step = local_path(command.run), command.step
        if command.latest:
            if step is not None:
                raise ValueError("--latest and --step: give one of them")
            step = _latest(run)
        step = export(run, command.model, step=step, overwrite=command.overwrite)
        sys.stdout.write(f"{command.model}: {describe(run, step)}\n")

    return exit_status("train.export", action, "nothing was written")


if __name__ == "__main__":
    sys.exit(main())
