# SPDX-License-Identifier: Apache-2.0
"""Damages files of every kind at random, and counts what is made of them.

    python -m benchmarks.damage --count 300 --jobs 2 --output damage.json

Of every kind of artefact that the library reads, `count` copies are cut short and
`count` are changed, in one file each. Each copy is read by a process that is killed
when it takes too long. A refusal is an error in one line that names the file; faults
are a wrong value, another error, an error without the file's name, a process that hangs
or dies. What was warned of, and other values of weights, are counted apart in files of
others, which have no checksum. What is damaged depends on the seed alone.
"""

import collections
import dataclasses
import json
import select
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tyro

from benchmarks.damage import changes
from benchmarks.damage.artefacts import Kind, kinds, prepare_text
from benchmarks.damage.changes import Damage, damage
from benchmarks.damage.verdict import FAULTS, VERDICTS, Outcome, judge


@dataclasses.dataclass(frozen=True)
class Command:
    """Damage files of every kind at random, and count what is made of them."""

    count: int = 300
    """Truncations, and as many changes, of each kind."""
    only: tuple[str, ...] = ()
    """Kinds whose names begin so; by default all."""
    seed: int = 0
    """Of the damage."""
    jobs: int = 2
    """Kinds at once."""
    seconds: float = 60.0
    """After which a process counts as hanging."""
    output: Path | None = None
    """A JSON file of all faults."""
    kinds: bool = False
    """Print the kinds, and damage nothing."""


class Worker:
    """A process that reads artefacts of one kind, begun again when it had to go."""

    def __init__(self, kind: str, data: Path, seconds: float) -> None:
        """Prepare; the process begins with the first artefact."""
        self._command = [sys.executable, "-m", "benchmarks.damage.worker", kind, data]
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._first = True

    def read(self, path: Path) -> Outcome:
        """Read an artefact, and see what comes of it."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [str(part) for part in self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._first = True
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(str(path)) + "\n")
        process.stdin.flush()
        # The first one imports and compiles.
        limit = self._seconds + 120 * self._first
        self._first = False
        ready, _, _ = select.select([process.stdout], [], [], limit)
        if not ready:
            self.close()
            return Outcome(ended="hanging")
        line = process.stdout.readline()
        if not line:
            process.wait()
            return Outcome(ended="died")
        return Outcome(**json.loads(line))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclasses.dataclass
class Result:
    """What came of one kind: how many of each verdict, and every fault."""

    kind: str
    ours: bool
    counts: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )
    faults: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def add(self, found: Damage, outcome: Outcome, verdict: str, seed: int) -> None:
        """Count one."""
        self.counts[verdict] += 1
        if verdict in FAULTS:
            self.faults.append(
                {"verdict": verdict, "damage": str(found), "seed": seed}
                | dataclasses.asdict(outcome)
            )


def make_sound(kind: Kind, folder: Path) -> Path:
    """Make the sound artefact of a kind."""
    name = "".join(letter if letter.isalnum() else "_" for letter in kind.name)
    sound = folder / name
    kind.make(sound)
    return sound


def try_kind(kind: Kind, sound: Path, command: Command, data: Path) -> Result:
    """Damage copies of one artefact, and judge what comes of each."""
    began = time.monotonic()
    result = Result(kind.name, kind.ours)
    copy = sound.with_name(f"{sound.name}_damaged")
    worker = Worker(kind.name, data, command.seconds)
    try:
        shutil.copytree(sound, copy)
        whole = worker.read(copy)
        assert whole.value is not None, f"{kind.name} itself is not read: {whole}"
        for form in changes.KINDS:
            for seed in range(command.seed, command.seed + command.count):
                shutil.rmtree(copy)
                shutil.copytree(sound, copy)
                found = damage(copy, form, seed, kind.spared)
                outcome = worker.read(copy)
                verdict = judge(found, outcome, whole, ours=kind.ours)
                result.add(found, outcome, verdict, seed)
    finally:
        worker.close()
    result.seconds = time.monotonic() - began
    return result


def main() -> None:
    """Try every kind and print a table."""
    command = tyro.cli(Command, prog="python -m benchmarks.damage", description=__doc__)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = folder / "data"
        chosen = [
            kind
            for kind in kinds(data)
            if not command.only or kind.name.startswith(command.only)
        ]
        if command.kinds:
            print("\n".join(kind.name for kind in chosen))
            return
        prepare_text(data)
        made = [(kind, make_sound(kind, folder)) for kind in chosen]
        print_header()
        with ThreadPoolExecutor(command.jobs) as pool:
            pending = [
                pool.submit(try_kind, kind, sound, command, data)
                for kind, sound in made
            ]
            results = []
            for future in pending:
                results.append(future.result())
                print_line(results[-1])
    print_total(results)
    if command.output is not None:
        record = [vars(result) for result in results]
        command.output.write_text(json.dumps(record, indent=1) + "\n")


def print_header() -> None:
    """Print the names of the columns."""
    print(f"{'kind':34} {'ours':5}" + "".join(f"{name:>9}" for name in VERDICTS))


def print_line(result: Result) -> None:
    """Print the line of a kind."""
    counts = "".join(f"{result.counts[name]:9}" for name in VERDICTS)
    ours = "yes" if result.ours else "no"
    print(f"{result.kind:34} {ours:5}{counts}  {result.seconds:.0f} s", flush=True)


def print_total(results: list[Result]) -> None:
    """Print the sums, and which files the faults were in."""
    total = sum((result.counts for result in results), collections.Counter())
    print(f"{'all':40}" + "".join(f"{total[name]:9}" for name in VERDICTS))
    for result in results:
        files = collections.Counter(
            (fault["verdict"], fault["damage"].split(" ", 1)[1].split("@")[0])
            for fault in result.faults
        )
        for (verdict, file), number in files.most_common():
            print(f"  {result.kind}: {number} {verdict}, {file}")


if __name__ == "__main__":
    main()
