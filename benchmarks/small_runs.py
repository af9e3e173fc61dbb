# SPDX-License-Identifier: Apache-2.0
"""Runs of the small commands, each in a fork and in a folder of its own."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.forked import Child, main_of
from benchmarks.small_commands import (
    COMMANDS,
    Outcome,
    Small,
    go_small,
    import_all,
    make_inputs,
)


class Place:
    """Where a command runs: what it reads, and a folder for what it writes and says."""

    def __init__(self, small: Small, inputs: Path, work: Path) -> None:
        """Take a command, its inputs and a folder to write to."""
        self.small = small
        self._inputs, self._work = inputs, work
        self.out = work / "out"

    def empty(self) -> None:
        """Begin anew, with nothing written."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)

    def start(self, name: str, *, resumes: bool = False) -> Child:
        """Start the command; what it says is kept under a name."""
        arguments = self.small.arguments(self._inputs, self.out)
        if resumes:
            arguments = [*arguments, *self.small.resume]
        run = main_of(self.small.module, arguments)

        def small() -> int:
            go_small(self._inputs)
            return run()

        return Child(small, self._work / f"{name}.txt")

    def outcome(self) -> Outcome:
        """Read what was written; in a fork, for it may begin jax."""
        read = partial(self.small.outcome, self.out)
        return Child(read, self._work / "outcome.txt").result()

    def undisturbed(self) -> tuple[Outcome, float]:
        """Run it once for its programs to be compiled, and once for its time.

        Returns:
          What it wrote, and the seconds that the second run took.

        Raises:
          RuntimeError: it failed.
        """
        for _ in range(2):
            self.empty()
            child = self.start("undisturbed")
            if status := child.result():
                raise RuntimeError(f"{self.small.name}: {status}: {child.said()}")
        return self.outcome(), child.seconds


def places(only: Sequence[str], *, killed: bool = False) -> Iterator[Place]:
    """Yield a place for each command, removed after its use.

    Args:
      only: beginnings of the names of commands; all if there are none.
      killed: whether only those that take long on large inputs are meant.
    """
    import_all()
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        Child(partial(make_inputs, inputs), Path(folder, "said.txt")).result()
        for small in COMMANDS:
            if (killed and not small.is_killed) or not small.name.startswith(
                tuple(only) or ("",)
            ):
                continue
            work = Path(folder, small.name.replace(", ", "_"))
            yield Place(small, inputs, work)
            shutil.rmtree(work)
