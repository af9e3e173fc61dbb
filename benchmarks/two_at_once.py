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
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
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


class Pairs:
    """Runs one command twice at once."""

    def __init__(self, small: Small, inputs: Path, work: Path) -> None:
        """Take a command, its inputs and a folder to write to."""
        self._small, self._inputs, self._work = small, inputs, work
        self._out = work / "out"

    def alone(self) -> Outcome:
        """Run it twice, for its programs to be compiled, and return what it wrote."""
        for _ in range(2):
            self._empty()
            child = self._start("alone")
            if status := child.result():
                raise RuntimeError(f"{self._small.name}: {status}: {child.said()}")
        return self._outcome()

    def two(self, expected: Outcome, counts: Counts) -> None:
        """Start two at once."""
        self._empty()
        children = [self._start(name) for name in ("one", "other")]
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
        self._compare(expected, counts)

    def kill(self, expected: Outcome, counts: Counts) -> None:
        """Kill one that holds the output; start another."""
        self._empty()
        child = self._start("killed")
        for _ in range(1000 * _SECONDS):
            if child.wait(0.001) or any(claims_in(self._out)):
                break
        was_held = any(claims_in(self._out))
        was_alive = child.kill()
        again = self._start("again", *self._small.resume)
        status = again.result()
        if status:
            counts.wrong.append(f"after a kill {status}: {again.said()[-300:]}")
        elif was_held and was_alive:
            counts.taken += 1
        self._compare(expected, counts)

    def _compare(self, expected: Outcome, counts: Counts) -> None:
        try:
            wrong = differences(self._outcome(), expected)
        except RuntimeError as error:
            wrong = [str(error)]
        left = [str(path) for path in self._out.rglob("*") if path.name[-5:] == "claim"]
        if wrong or left:
            counts.wrong.append(f"differs or is left: {', '.join([*wrong, *left])}")
        else:
            counts.equal += 1

    def _outcome(self) -> Outcome:
        said = self._work / "outcome.txt"
        return Child(partial(self._small.outcome, self._out), said).result()

    def _start(self, name: str, *more: str) -> Child:
        arguments = [*self._small.arguments(self._inputs, self._out), *more]
        run = main_of(self._small.module, arguments)

        def small() -> int:
            go_small(self._inputs)
            return run()

        return Child(small, self._work / f"{name}.txt")

    def _empty(self) -> None:
        shutil.rmtree(self._out, ignore_errors=True)
        self._out.mkdir(parents=True)


def run_pairs(small: Small, inputs: Path, work: Path, times: int) -> Counts:
    """Run pairs and kills of a command; return what became of them."""
    pairs, counts = Pairs(small, inputs, work), Counts()
    expected = pairs.alone()
    for _ in range(times):
        pairs.two(expected, counts)
    for _ in range(times):
        pairs.kill(expected, counts)
    return counts


def main() -> int:
    """Run the benchmark; return the exit status."""
    command = tyro.cli(Command, description=__doc__)
    import_all()
    print("| command | pairs | told | too late | kills taken over | equal |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        Child(partial(make_inputs, inputs), Path(folder, "said.txt")).result()
        for small in COMMANDS:
            if not small.name.startswith(command.only or ("",)):
                continue
            work = Path(folder, small.name.replace(", ", "_"))
            counts = run_pairs(small, inputs, work, command.times)
            shutil.rmtree(work)
            print(
                f"| {small.name} | {command.times} | {counts.told} | {counts.late} | "
                f"{counts.taken} of {command.times} | "
                f"{counts.equal} of {2 * command.times} |",
                flush=True,
            )
            for wrong in counts.wrong:
                print(f"{small.name}: {wrong}", file=sys.stderr, flush=True)
            failed |= bool(counts.wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
