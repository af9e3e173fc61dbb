# SPDX-License-Identifier: Apache-2.0
"""Fills the disk of every command that writes at random moments, and looks at the end.

    python -m benchmarks.full_disk --moments 30

Inputs, outputs and temporary files lie on a small file system of their own (tmpfs,
which root alone may mount). Each command is run once undisturbed. Then it is started
again, and at a moment drawn evenly from the time that it took the disk is filled: for a
while, or until the command ends. It must end within a minute, with nothing missing or
with one line that says that the disk is full; no input may have changed. Then there is
room again, the command goes on with --resume or is given again, and must write what the
undisturbed one wrote.
"""

import dataclasses
import hashlib
import os
import random
import re
import sys
from pathlib import Path

import tyro

from benchmarks.forked import Child
from benchmarks.small_commands import Outcome, differences
from benchmarks.small_disk import Disk, small_disk
from benchmarks.small_runs import Place, places

# So long a command may take that goes on without a disk, or after it has come back.
PATIENCE = 60.0
# What one that was refused room must say at its end.
_FULL = re.compile(r"No space left on device|the disk has \d")
COMMANDS = ("pretrain", "prepare", "embed", "finetune", "export", "train.export")


@dataclasses.dataclass(frozen=True)
class Command:
    """Fill the disk at random moments and compare what is written in the end."""

    moments: int = 30
    """Moments of each command."""
    seed: int = 0
    """Of the moments."""
    only: tuple[str, ...] = COMMANDS
    """Beginnings of the names of commands."""


@dataclasses.dataclass
class Counts:
    """What became of a command's moments.

    Attributes:
      moments: at which its disk was filled.
      late: that came after its end.
      refused: that ended it with status 2 and a line that says why.
      equal: of all, those after which the outcome was that of an undisturbed run.
      longest: seconds that a command went on after its disk was filled.
      seconds: that the command takes undisturbed.
      wrong: what the others did or said.
    """

    moments: int = 0
    late: int = 0
    refused: int = 0
    equal: int = 0
    longest: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = dataclasses.field(default_factory=list)


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of each file in a folder, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fill_once(
    place: Place, disk: Disk, expected: Outcome, rng: random.Random, counts: Counts
) -> None:
    """Fill the disk of one run at a random moment, let it go on, and compare."""
    place.empty()
    before = digests(place.inputs)
    moment = rng.uniform(0, counts.seconds)
    lasting = rng.choice((rng.uniform(0, counts.seconds), PATIENCE))
    child = place.start("filled")
    if child.wait(moment):
        counts.late += 1
    with disk.full():
        ended = child.wait(lasting)
    if not ended and lasting < PATIENCE:
        ended = child.wait(PATIENCE)
    where = f"full at {moment:.2f} s for {lasting:.2f} s"
    counts.moments += 1
    if wrong := _what_is_wrong(place, child, expected, counts, ended=ended):
        counts.wrong.append(f"{where}: {wrong}")
    else:
        counts.equal += 1
    if digests(place.inputs) != before:
        counts.wrong.append(f"{where}: its inputs are no longer what they were")


def _what_is_wrong(
    place: Place, child: Child, expected: Outcome, counts: Counts, *, ended: bool
) -> str:
    if not ended:
        child.kill()
        return f"hung: {child.said()[-500:]}"
    try:
        status = child.result()
        counts.longest = max(counts.longest, child.seconds - counts.seconds)
        if status:
            if wrong := unclear(child.said(), status):
                return wrong
            counts.refused += 1
            again = place.start("finishing", resumes=True)
            if again.result():
                return f"it does not go on: {again.said()[-1000:]}"
        return ", ".join(differences(place.outcome(), expected))
    except RuntimeError as error:
        return str(error)


def unclear(said: str, status: int) -> str:
    """Return what a command that a full disk has ended said wrong; nothing if well."""
    *_, last = said.strip().splitlines() or [""]
    told = [line for line in said.splitlines() if _FULL.search(line)]
    if status == 2 and told == [last] and "Traceback" not in said:
        return ""
    return f"status {status}, said {said[-3000:]}"


def fill(place: Place, disk: Disk, moments: int, seed: int) -> Counts:
    """Fill the disk of a command so many times; return what became of it."""
    rng = random.Random(f"{place.small.name} {seed}")
    counts = Counts()
    expected, counts.seconds = place.undisturbed()
    while counts.moments < moments:
        fill_once(place, disk, expected, rng, counts)
    return counts


def main() -> int:
    """Run the benchmark; return the exit status."""
    command = tyro.cli(Command, description=__doc__)
    failed = False
    with small_disk() as disk:
        print(
            "| command | s | moments | after its end | refused | equal | longest, s |"
        )
        print("|---|---|---|---|---|---|---|", flush=True)
        os.environ["TMPDIR"] = str(disk.path)
        for place in places(command.only, disk=disk.path):
            counts = fill(place, disk, command.moments, command.seed)
            print(
                f"| {place.small.name} | {counts.seconds:.1f} | {counts.moments} | "
                f"{counts.late} | {counts.refused} | {counts.equal} | "
                f"{counts.longest:.1f} |",
                flush=True,
            )
            for wrong in counts.wrong:
                print(f"{place.small.name}: {wrong}", file=sys.stderr, flush=True)
            failed |= bool(counts.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
