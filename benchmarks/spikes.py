# SPDX-License-Identifier: Apache-2.0
"""Has the learning rate leap up at each step of a run, and looks at what is kept.

    python -m benchmarks.spikes

Pretraining of both families saves every step, once with and once without held-out text
measured; fine-tuning is of both families and of words and texts. What a run has kept
must load and be finite, its message must be one line, and its advice must work when it
is followed to the letter.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import Literal

import tyro

from tests.train.experiments import KINDS, prepare_data
from tests.train.spikes import (
    FINETUNED,
    NUM_STEPS,
    leap_in_finetuning,
    leap_in_pretraining,
    make_finetuning,
    write_config,
)
from train import finetune

STEPS = range(1, NUM_STEPS + 1)


@dataclasses.dataclass(frozen=True)
class Command:
    """Have the learning rate leap up at each step of runs."""

    only: tuple[Literal["pretrain", "finetune"], ...] = ("pretrain", "finetune")
    """The commands to try."""


def main() -> int:
    """Run the sweep; return the exit status."""
    command = tyro.cli(Command, description=__doc__)
    print("| what | steps that leap | right |")
    print("|---|---|---|", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "pretrain" in command.only:
            failed |= _pretrain(folder)
        if "finetune" in command.only:
            failed |= _finetune(folder)
    return int(failed)


def _pretrain(folder: Path) -> bool:
    prepare_data(folder)
    failed = False
    for kind in KINDS:
        config = write_config(folder, kind)
        for measured in (1, 0):
            faults = {
                step: leap_in_pretraining(
                    config,
                    folder / f"{kind}-{measured}-{step}" / "run",
                    step,
                    f"--eval-every={measured}",
                )
                for step in STEPS
            }
            how = "measured" if measured else "not measured"
            failed |= _report(f"pretrain, {kind}, {how}", faults)
    return failed


def _finetune(folder: Path) -> bool:
    failed = False
    for kind, task in FINETUNED:
        given = make_finetuning(folder, kind, task)
        faults = {
            step: leap_in_finetuning(
                finetune.main, given, folder / f"{kind}-{task}-{step}", step
            )
            for step in STEPS
        }
        failed |= _report(f"finetune, {kind}, {task}", faults)
    return failed


def _report(name: str, faults: dict[int, list[str]]) -> bool:
    """Print a line of the table; return whether something is wrong."""
    right = sum(not of_step for of_step in faults.values())
    print(f"| {name} | {len(faults)} | {right} |", flush=True)
    for step, of_step in faults.items():
        for fault in of_step:
            print(f"{name}, step {step}: {fault}", file=sys.stderr, flush=True)
    return right < len(faults)


if __name__ == "__main__":
    sys.exit(main())
