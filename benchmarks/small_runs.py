# SPDX-License-Identifier: Apache-2.0
"""Runs of the small commands, each in a fork and in a folder of its own."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
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
from embed_jax.files.bucket import run_path
from tests.bucket import serve_bucket


class Place:
    """Where a command runs: what it reads, and a folder for what it writes and says."""

    def __init__(
        self,
        small: Small,
        inputs: Path,
        work: Path,
        said: Path,
        bucket: str | None = None,
    ) -> None:
        """Take a command, its inputs, a folder or a bucket to write to, and one to say.

        Args:
          small: the command.
          inputs: what it reads.
          work: a folder for what it writes.
          said: a folder for what it writes to its terminal.
          bucket: where it writes instead.
        """
        self.small, self.inputs = small, inputs
        self._work, self._said = work, said
        self._bucket, self._number = bucket, 0
        self.out = work / "out"

    def empty(self) -> None:
        """Begin anew, with nothing written."""
        if self._bucket:
            self._number += 1
            self.out = run_path(f"{self._bucket}/{self._work.name}/{self._number}")
            return
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)

    def start(self, name: str, *, resumes: bool = False) -> Child:
        """Start the command; what it says is kept under a name."""
        arguments = self.small.arguments(self.inputs, self.out)
        if resumes:
            arguments = [*arguments, *self.small.resume]
        run = main_of(self.small.module, arguments)

        def small() -> int:
            # In a bucket a checkpoint takes many times as long.
            go_small(self.inputs, save_every=8 if self._bucket else 2)
            return run()

        return Child(small, self._said / f"{name}.txt")

    def outcome(self) -> Outcome:
        """Read what was written; in a fork, for it may begin jax."""
        read = partial(self.small.outcome, self.out)
        return Child(read, self._said / "outcome.txt").result()

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


def places(
    only: Sequence[str],
    *,
    killed: bool = False,
    bucket: bool = False,
    disk: Path | None = None,
) -> Iterator[Place]:
    """Yield a place for each command, removed after its use.

    Args:
      only: beginnings of the names of commands; all if there are none.
      killed: whether only those that take long on large inputs are meant.
      bucket: whether they write to a bucket, an emulated one; of those that can.
      disk: where inputs and outputs lie, but not what commands say; by default all is
        in one folder for temporary files.
    """
    import_all()
    with (
        tempfile.TemporaryDirectory() as folder,
        serve_bucket() if bucket else nullcontext() as address,
    ):
        disk = disk or Path(folder)
        inputs = disk / "inputs"
        Child(partial(make_inputs, inputs), Path(folder, "said.txt")).result()
        for small in COMMANDS:
            is_meant = small.name.startswith(tuple(only) or ("",))
            if (killed and not small.is_killed) or (bucket and not small.in_bucket):
                is_meant = False
            if not is_meant:
                continue
            work = disk / small.name.replace(", ", "_")
            work.mkdir()
            yield Place(small, inputs, work, Path(folder), address)
            shutil.rmtree(work)
