# SPDX-License-Identifier: Apache-2.0
"""Kills every command that resumes at random moments, and looks at what comes out.

    python -m benchmarks.kills --kills 100

Each command is run once without a kill. Then it is started again, killed (SIGKILL) at a
moment drawn evenly from the time that it took, goes on with --resume or by the same
command, at most three kills in a row, and is let finish. What it has written then must
be what the first run wrote: of pretraining every byte of metrics.jsonl and of the
weights, of a store the same words and vectors. Imports are not in that time:
`benchmarks.forked` has them done before.
"""

import dataclasses
import random
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import tyro

from benchmarks.forked import Child, main_of
from benchmarks.small_commands import (
    COMMANDS,
    Outcome,
    Small,
    differences,
    go_small,
    import_all,
    make_inputs,
)

# Kills of one run before it is let finish.
_IN_A_ROW = 3


@dataclasses.dataclass(frozen=True)
class Command:
    """Kill commands at random moments and compare what they write in the end."""

    kills: int = 100
    """Kills of each command."""
    seed: int = 0
    """Of the moments."""
    only: tuple[str, ...] = ()
    """Beginnings of the names of commands; by default all."""


@dataclasses.dataclass
class Counts:
    """What became of a command's kills.

    Attributes:
      kills: that found the process at work.
      late: that came after its end.
      runs: that were let finish after a kill, and compared.
      equal: of these, as the run that was not killed.
      seconds: that the command takes.
      wrong: what the others said.
    """

    kills: int = 0
    late: int = 0
    runs: int = 0
    equal: int = 0
    seconds: float = 0.0
    wrong: list[str] = dataclasses.field(default_factory=list)


class Killing:
    """Runs one command, whole and killed."""

    def __init__(self, small: Small, inputs: Path, work: Path) -> None:
        """Take a command, its inputs and a folder to write to."""
        self._small, self._inputs, self._work = small, inputs, work
        self._said = work / "said.txt"

    def whole(self) -> tuple[Outcome, float]:
        """Run it once for its programs to be compiled, and once for its time."""
        for name in ("first", "whole"):
            out = self._folder(name)
            child = self._start(out, resumes=False)
            if status := child.result():
                raise RuntimeError(f"{self._small.name}: {status}: {child.said()}")
        return self.outcome(out), child.seconds

    def run(self, expected: Outcome, rng: random.Random, counts: Counts) -> None:
        """Start it, kill it up to three times, let it finish, and compare."""
        out = self._folder("killed")
        for number in range(rng.randint(1, _IN_A_ROW)):
            child = self._start(out, resumes=number > 0)
            child.wait(rng.uniform(0, counts.seconds))
            if not child.kill():
                counts.late += 1
                break
            counts.kills += 1
        child = self._start(out, resumes=True)
        counts.runs += 1
        try:
            status = child.result()
            wrong = child.said()[-500:] if status else ""
            if not wrong:
                wrong = ", ".join(differences(self.outcome(out), expected))
        except RuntimeError as error:
            wrong = str(error)
        # One that ended before its kill may say that it was there already.
        if wrong:
            counts.wrong.append(wrong)
        else:
            counts.equal += 1

    def outcome(self, out: Path) -> Outcome:
        """Read what was written; in a fork, for it may begin jax."""
        return Child(partial(self._small.outcome, out), self._said).result()

    def _start(self, out: Path, *, resumes: bool) -> Child:
        arguments = self._small.arguments(self._inputs, out)
        if resumes:
            arguments = [*arguments, *self._small.resume]
        run = main_of(self._small.module, arguments)

        def small() -> int:
            go_small(self._inputs)
            return run()

        return Child(small, self._said)

    def _folder(self, name: str) -> Path:
        path = self._work / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


def kill(small: Small, inputs: Path, work: Path, kills: int, seed: int) -> Counts:
    """Kill a command so many times; return what became of it."""
    killing = Killing(small, inputs, work)
    rng = random.Random(f"{small.name} {seed}")
    counts = Counts()
    expected, counts.seconds = killing.whole()
    while counts.kills < kills:
        killing.run(expected, rng, counts)
    return counts


def main() -> int:
    """Run the benchmark; return the exit status."""
    command = tyro.cli(Command, description=__doc__)
    import_all()
    print("| command | s | kills | after its end | runs | equal |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        Child(partial(make_inputs, inputs), Path(folder, "said.txt")).result()
        for small in COMMANDS:
            if not small.is_killed or not small.name.startswith(command.only or ("",)):
                continue
            work = Path(folder, small.name.replace(", ", "_"))
            counts = kill(small, inputs, work, command.kills, command.seed)
            shutil.rmtree(work)
            print(
                f"| {small.name} | {counts.seconds:.1f} | {counts.kills} | "
                f"{counts.late} | {counts.runs} | {counts.equal} |",
                flush=True,
            )
            for wrong in counts.wrong:
                print(f"{small.name}: {wrong}", file=sys.stderr, flush=True)
            failed |= counts.equal < counts.runs
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
