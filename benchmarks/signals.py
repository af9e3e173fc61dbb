# SPDX-License-Identifier: Apache-2.0
"""Sends signals to every command at random moments, and takes its readers away.

    python -m benchmarks.signals --moments 100

Each command runs once undisturbed, in a process of its own. Then it is stopped by a
signal (SIGHUP, SIGTERM or SIGINT, the last two also twice), or lacks its stdout, its
stderr or both from its start, or loses who reads them, at a moment drawn evenly from
the time that it takes, from our first line on: what Python does before is its own. It
must end within a minute, with its documented status: 130 where a signal stopped it, 0
where it had come to its end or only its readers went. It says one line at most on its
end, and never a traceback. Nothing half made lies there; a pretraining has saved its
last step; and the commands that go on do so, to what the undisturbed run wrote.
"""

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import tyro

from benchmarks.signalled_commands import COMMANDS, Signalled, environment, make_inputs
from benchmarks.small_commands import Outcome, differences

STOPPED = 130
# A stopped command is given so long to save.
_PATIENCE = 60.0
_WAYS = (
    ("SIGHUP",),
    ("SIGTERM",),
    ("SIGINT",),
    ("SIGINT", "SIGINT"),
    ("SIGTERM", "SIGTERM"),
    ("SIGHUP", "SIGTERM"),
    ("no stdout",),
    ("no stderr",),
    ("neither",),
    ("stdout's reader goes",),
    ("stderr's reader goes",),
)
_OBSCURE = "Traceback", "Exception ignored", "Fatal", "Segmentation", "leaked"


@dataclasses.dataclass(frozen=True)
class Command:
    """Disturb commands at random moments and look at what comes of it."""

    moments: int = 100
    """Number of moments, spread over the commands and the ways."""
    seed: int = 0
    """Of the moments."""
    only: tuple[str, ...] = ()
    """Beginnings of the names of commands; by default all."""


class Process:
    """A command at work."""

    def __init__(
        self, line: Sequence[str], way: str, said: Path, stdin: Path | None
    ) -> None:
        """Start it, with the outputs that a way leaves it."""
        self._said = said
        lacks = {"no stdout": (1,), "no stderr": (2,), "neither": (1, 2)}.get(way, ())
        piped = {"stdout's reader goes": 1, "stderr's reader goes": 2}.get(way)
        self._reader, writer = os.pipe() if piped else (None, None)

        def prepare() -> None:
            # A shell in the background has it ignored, and we inherit that.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if writer is not None and piped is not None:
                os.dup2(writer, piped)
            for descriptor in lacks:
                os.close(descriptor)

        with (
            said.with_suffix(".out").open("wb") as out,
            said.open("wb") as error,
            Path(stdin or os.devnull).open("rb") as given,
        ):
            self._process = subprocess.Popen(
                list(line),
                stdin=given,
                stdout=out,
                stderr=error,
                env=environment(),
                start_new_session=True,
                preexec_fn=prepare,
            )
        if writer is not None:
            os.close(writer)

    def wait_for_first_line(self) -> None:
        """Wait until it hears SIGTERM, which it does from our first line on."""
        while self._process.poll() is None:
            status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
            caught = int(status.split("SigCgt:")[1].split()[0], 16)
            if caught & 1 << (signal.SIGTERM - 1):
                return
            time.sleep(0.002)

    def disturb(self, way: str, *, whole_group: bool) -> None:
        """Send a signal, or stop reading."""
        if way.startswith("SIG"):
            number = signal.Signals[way]
            send = os.killpg if whole_group else os.kill
            if self._process.poll() is None:
                send(self._process.pid, number)
        elif self._reader is not None:
            os.close(self._reader)
            self._reader = None

    def end(self, seconds: float) -> int | None:
        """Wait for its end, so long; return its status, or None."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it and what it has started."""
        if self._reader is not None:
            os.close(self._reader)
            self._reader = None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait()

    def said(self) -> str:
        """Return what it wrote to stderr."""
        return self._said.read_text(encoding="utf-8", errors="replace")


@dataclasses.dataclass
class Counts:
    """What became of a command's moments.

    Attributes:
      seconds: that it takes from our first line on.
      stopped: that a signal stopped.
      ended: that came to their end.
      saved: of the stopped, those that had something to save and have.
      went_on: that were begun again and came to the end of the undisturbed run.
      wrong: what was not as it should be.
    """

    seconds: float = 0.0
    stopped: int = 0
    ended: int = 0
    saved: int = 0
    went_on: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


class Place:
    """Where a command runs, and what it wrote when nobody disturbed it."""

    def __init__(self, command: Signalled, inputs: Path, work: Path) -> None:
        """Take a command, its inputs, and a folder of its own."""
        self.command, self._inputs, self._work = command, inputs, work
        self.out = work / "out"
        self.expected: Outcome = {}

    def line(self) -> list[str]:
        """Return the command line."""
        return [sys.executable, *self.command.line(self._inputs, self.out)]

    def empty(self) -> None:
        """Begin anew, with nothing written."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)

    def start(self, way: str = "", extra: Sequence[str] = ()) -> Process:
        """Start the command, up to our first line."""
        said = self._work / "said.txt"
        stdin = self.command.stdin and self._inputs / self.command.stdin
        process = Process([*self.line(), *extra], way, said, stdin or None)
        process.wait_for_first_line()
        return process

    def undisturbed(self) -> float:
        """Run it for its time.

        Raises:
          RuntimeError: it failed.
        """
        if self.command.is_long:
            return self.command.most_seconds
        self.empty()
        process = self.start()
        began = time.monotonic()
        status = process.end(600)
        if status != 0:
            process.kill()
            raise RuntimeError(f"{self.command.name}: {status}: {process.said()}")
        seconds = time.monotonic() - began
        self.expected = self.command.outcome(self.out)
        return seconds


def disturb_once(
    place: Place, ways: Sequence[str], rng: random.Random, counts: Counts
) -> None:
    """Start a command, disturb it at a random moment, and judge what came of it."""
    if place.command.is_long and not ways[0].startswith("SIG"):
        ways = ("SIGINT",)
    place.empty()
    moment = rng.uniform(0, counts.seconds)
    gap, whole_group = rng.choice((0.01, 0.6, 1.5)), rng.random() < 0.5
    process = place.start(ways[0])
    status = process.end(moment)
    for way in ways:
        if status is None:
            process.disturb(way, whole_group=whole_group)
            status = process.end(gap if way != ways[-1] else 0)
    is_signal = ways[0].startswith("SIG")
    if status is None:
        # Only its readers went: it goes on to its end.
        over = counts.seconds * 4 + _PATIENCE if not is_signal else _PATIENCE
        status = process.end(over)
    process.kill()
    said = process.said()
    expected = (0, STOPPED) if is_signal else (0,)
    if ways[0] in ("no stdout", "neither"):
        expected = (place.command.without_stdout,)
    wrong = list(faults(place, status, said, expected))
    if status == STOPPED:
        counts.stopped += 1
        saved, found = place.command.saved(place.out, said, len(ways) == 1)
        counts.saved += saved
        wrong += found
    else:
        counts.ended += status == 0
    if not wrong and status == STOPPED and place.command.goes_on:
        wrong += _go_on(place, counts)
    if wrong:
        group = ", to the group" if whole_group else ""
        counts.wrong.append(
            f"{' + '.join(ways)}{group} after {moment:.2f} of {counts.seconds:.2f} s: "
            f"{'; '.join(wrong)}\n{said[-1500:]}"
        )


def faults(
    place: Place, status: int | None, said: str, expected: tuple[int, ...]
) -> Iterator[str]:
    """Yield what is wrong with the end of a command.

    Args:
      place: of the command.
      status: of its end; None if there was none.
      said: what it wrote to stderr.
      expected: the statuses that are right.
    """
    if status is None:
        yield "it does not end"
    elif status not in expected:
        yield f"its status is {status}"
    found = [word for word in _OBSCURE if word in said]
    if found:
        yield f"it says {', '.join(found)}"
    ends = [line for line in said.splitlines() if ": stopped" in line]
    if len(ends) > 1:
        yield f"{len(ends)} lines on its end"
    if status == 0 and not place.command.is_long:
        different = differences(place.command.outcome(place.out), place.expected)
        if different:
            yield f"it wrote other {', '.join(different)}"


def _go_on(place: Place, counts: Counts) -> Iterator[str]:
    process = place.start(extra=place.command.resume)
    status = process.end(counts.seconds * 4 + _PATIENCE)
    process.kill()
    if status != 0:
        yield f"it does not go on, with status {status}: {process.said()[-500:]}"
        return
    different = differences(place.command.outcome(place.out), place.expected)
    if different:
        yield f"gone on, it wrote other {', '.join(different)}"
    else:
        counts.went_on += 1


def sweep(moments: int, seed: int, only: Sequence[str]) -> bool:
    """Disturb commands; print what became of them, and return whether all was well."""
    print("| command | s | moments | stopped | came to its end | saved | went on |")
    print("|---|---|---|---|---|---|---|", flush=True)
    chosen = [each for each in COMMANDS if each.name.startswith(tuple(only) or ("",))]
    rng = random.Random(seed)
    # Each way as often as the others; `--help` once, and the rest to what does more.
    ways = [_WAYS[number % len(_WAYS)] for number in range(moments)]
    rng.shuffle(ways)
    brief = [each for each in chosen if each.is_brief][:moments]
    others = [each for each in chosen if not each.is_brief]
    of_others = ways[len(brief) :]
    shares = {each.name: [way] for each, way in zip(brief, ways, strict=False)}
    shares |= {
        each.name: of_others[number :: len(others)]
        for number, each in enumerate(others)
    }
    well = True
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        make_inputs(inputs)
        for command in chosen:
            mine = shares.get(command.name)
            if not mine:
                continue
            work = Path(folder, "work")
            work.mkdir()
            place, counts = Place(command, inputs, work), Counts()
            counts.seconds = place.undisturbed()
            for way in mine:
                disturb_once(place, way, rng, counts)
            print(
                f"| {command.name} | {counts.seconds:.1f} | {len(mine)} | "
                f"{counts.stopped} | {counts.ended} | {counts.saved} | "
                f"{counts.went_on} |",
                flush=True,
            )
            for wrong in counts.wrong:
                print(f"{command.name}: {wrong}", file=sys.stderr, flush=True)
            well = well and not counts.wrong
            shutil.rmtree(work)
    return well


def main() -> int:
    """Run the benchmark; return the exit status."""
    command = tyro.cli(Command, description=__doc__)
    return int(not sweep(command.moments, command.seed, command.only))


if __name__ == "__main__":
    sys.exit(main())
