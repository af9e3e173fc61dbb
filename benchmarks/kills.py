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
import sys

import tyro

from benchmarks.small_commands import Outcome, differences
from benchmarks.small_runs import Place, places

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
    bucket: bool = False
    """Have them write to an emulated bucket, those that can."""


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


def kill_one_run(
    place: Place, expected: Outcome, rng: random.Random, counts: Counts
) -> None:
    """Start a command, kill it up to three times, let it finish, and compare."""
    place.empty()
    killed = True
    for number in range(rng.randint(1, _IN_A_ROW)):
        child = place.start("killed", resumes=number > 0)
        child.wait(rng.uniform(0, counts.seconds))
        killed = child.kill()
        if not killed:
            counts.late += 1
            break
        counts.kills += 1
    counts.runs += 1
    wrong = ""
    try:
        if killed:
            child = place.start("finishing", resumes=True)
            if child.result():
                wrong = child.said()[-500:]
        # One that ended before its kill is not begun again: it may say that its output
        # exists.
        if not wrong:
            wrong = ", ".join(differences(place.outcome(), expected))
    except RuntimeError as error:
        wrong = str(error)
    if wrong:
        counts.wrong.append(wrong)
    else:
        counts.equal += 1


def kill(place: Place, kills: int, seed: int) -> Counts:
    """Kill a command so many times; return what became of it."""
    rng = random.Random(f"{place.small.name} {seed}")
    counts = Counts()
    expected, counts.seconds = place.undisturbed()
    while counts.kills < kills:
        kill_one_run(place, expected, rng, counts)
    return counts


def main() -> int:
    """Run the benchmark; return the exit status."""
    command = tyro.cli(Command, description=__doc__)
    print("| command | s | kills | after its end | runs | equal |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = False
    for place in places(command.only, killed=True, bucket=command.bucket):
        counts = kill(place, command.kills, command.seed)
        print(
            f"| {place.small.name} | {counts.seconds:.1f} | {counts.kills} | "
            f"{counts.late} | {counts.runs} | {counts.equal} |",
            flush=True,
        )
        for wrong in counts.wrong:
            print(f"{place.small.name}: {wrong}", file=sys.stderr, flush=True)
        failed |= counts.equal < counts.runs
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
