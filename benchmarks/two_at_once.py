# SPDX-License-Identifier: Apache-2.0
"""Starts two of every command at once on one output, and takes over what a kill left.

    python -m benchmarks.two_at_once --times 20

Of two that begin together one must end well and have written what a single one writes,
and the other must end with status 2 and say who holds the output: this process, that
host, since when. Then one is killed (SIGKILL) while it holds the output, and the same
command again must take over and write the same.
"""

import dataclasses
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import tyro

from benchmarks.small_commands import Outcome, differences
from benchmarks.small_runs import Place, places

_HELD = re.compile(
    r"written by process (\d+) on (\S+) since \d{4}-\d\d-\d\d [\d:]+ UTC"
)
# So long a command may take to claim its output.
_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Command:
    """Run two of every command at once."""

    times: int = 20
    """Pairs of each command, and kills."""
    only: tuple[str, ...] = ()
    """Beginnings of the names of commands; by default all."""
    bucket: bool = False
    """Have them write to an emulated bucket, those that can."""


@dataclasses.dataclass
class Counts:
    """What became of a command's pairs and kills.

    Attributes:
      told: pairs of which one won, and the other named it.
      late: pairs of which the second came after the first had ended.
      taken: claims of a killed process that were taken over.
      equal: of all of them, outcomes like that of a single run.
      wrong: what the others said.
    """

    told: int = 0
    late: int = 0
    taken: int = 0
    equal: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


def claims_in(out: Path) -> Iterator[Path]:
    """Yield what names a holder in a folder that a command writes to."""
    for pattern in ("*.claim", "**/claim", "*.partial/lock"):
        yield from (path for path in out.glob(pattern) if path.stat().st_size)


def start_two(place: Place, expected: Outcome, counts: Counts) -> None:
    """Start two at once."""
    place.empty()
    children = [place.start(name) for name in ("one", "other")]
    statuses = [child.result() for child in children]
    said = [child.said() for child in children]
    if sorted(statuses) == [0, 2]:
        winner, loser = children[statuses.index(0)], statuses.index(2)
        held = _HELD.search(said[loser])
        host = socket.gethostname()
        if held and held.groups() == (str(winner.pid), host):
            counts.told += 1
        elif "exists" in said[loser]:
            counts.late += 1
        else:
            counts.wrong.append(said[loser][-300:])
    elif statuses == [0, 0] and any("already" in text for text in said):
        counts.late += 1
    else:
        counts.wrong.append(f"{statuses}: {said[0][-300:]} {said[1][-300:]}")
    _compare(place, expected, counts)


def kill_holder(place: Place, expected: Outcome, counts: Counts) -> None:
    """Kill one that holds the output; start another."""
    place.empty()
    child = place.start("killed")
    for _ in range(1000 * _SECONDS):
        if child.wait(0.001) or any(claims_in(place.out)):
            break
    was_held = any(claims_in(place.out))
    was_alive = child.kill()
    again = place.start("again", resumes=True)
    status = again.result()
    if status:
        counts.wrong.append(f"after a kill {status}: {again.said()[-300:]}")
    elif was_held and was_alive:
        counts.taken += 1
    _compare(place, expected, counts)


def _compare(place: Place, expected: Outcome, counts: Counts) -> None:
    try:
        wrong = differences(place.outcome(), expected)
    except RuntimeError as error:
        wrong = [str(error)]
    left = [str(path) for path in place.out.rglob("*") if path.name[-5:] == "claim"]
    if wrong or left:
        counts.wrong.append(f"differs or is left: {', '.join([*wrong, *left])}")
    else:
        counts.equal += 1


def run_pairs(place: Place, times: int) -> Counts:
    """Run pairs and kills of a command; return what became of them."""
    counts = Counts()
    expected, _ = place.undisturbed()
    for act in (start_two, kill_holder):
        for _ in range(times):
            act(place, expected, counts)
    return counts


def main() -> int:
    """Run the benchmark; return the exit status."""
    command = tyro.cli(Command, description=__doc__)
    print("| command | pairs | told | too late | kills taken over | equal |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = False
    for place in places(command.only, bucket=command.bucket):
        counts = run_pairs(place, command.times)
        print(
            f"| {place.small.name} | {command.times} | {counts.told} | {counts.late} | "
            f"{counts.taken} of {command.times} | "
            f"{counts.equal} of {2 * command.times} |",
            flush=True,
        )
        for wrong in counts.wrong:
            print(f"{place.small.name}: {wrong}", file=sys.stderr, flush=True)
        failed |= bool(counts.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
