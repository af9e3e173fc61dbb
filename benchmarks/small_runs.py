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
        self, small: Small, inputs: Path, work: Path, bucket: str | None = None
    ) -> None:
        """Take a command, its inputs, and a folder or a bucket to write to."""
        self.small = small
        self._inputs, self._work = inputs, work
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
        arguments = self.small.arguments(self._inputs, self.out)
        if resumes:
            arguments = [*arguments, *self.small.resume]
        run = main_of(self.small.module, arguments)

        def small() -> int:
            # In a bucket a checkpoint takes many times as long.
            go_small(self._inputs, save_every=8 if self._bucket else 2)
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


def places(
    only: Sequence[str], *, killed: bool = False, bucket: bool = False
) -> Iterator[Place]:
    """Yield a place for each command, removed after its use.

    Args:
      only: beginnings of the names of commands; all if there are none.
      killed: whether only those that take long on large inputs are meant.
      bucket: whether they write to a bucket, an emulated one; of those that can.
    """
    import_all()
    with (
        tempfile.TemporaryDirectory() as folder,
        serve_bucket() if bucket else nullcontext() as address,
    ):
        inputs = Path(folder, "inputs")
        Child(partial(make_inputs, inputs), Path(folder, "said.txt")).result()
        for small in COMMANDS:
            is_meant = small.name.startswith(tuple(only) or ("",))
            if (killed and not small.is_killed) or (bucket and not small.in_bucket):
                is_meant = False
            if not is_meant:
                continue
            work = Path(folder, small.name.replace(", ", "_"))
            work.mkdir()
            yield Place(small, inputs, work, address)
            shutil.rmtree(work)
