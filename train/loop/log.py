# SPDX-License-Identifier: Apache-2.0
"""Logging of a run: JSON lines, TensorBoard curves, and lines on the terminal."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from embed_jax.commands.streams import say
from embed_jax.files.bucket import in_bucket
from embed_jax.files.json_file import json_text, parse_object
from embed_jax.files.output_file import open_output
from train.loop.curves import Curves
from train.loop.mirror import Mirror
from train.loop.tracker import Track, Tracker

METRICS, CURVES = "metrics.jsonl", "tensorboard"


class Interval:
    """Means of metrics over the steps since the last line was written."""

    def __init__(self, sums: Mapping[str, Sequence[float]] | None = None) -> None:
        """Start from the sums and weights in a checkpoint, or from zero."""
        self.sums = {name: (a, b) for name, (a, b) in (sums or {}).items()}

    def add(self, means: Mapping[str, Any]) -> None:
        """Add a step's sums and weights."""
        for name, (total, weight) in means.items():
            before = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = before[0] + float(total), before[1] + float(weight)

    def take(self) -> dict[str, float]:
        """Return the means and reset the sums; without those that nothing counts in."""
        means = {
            name: total / weight
            for name, (total, weight) in self.sums.items()
            if weight
        }
        self.sums = {}
        return means


class RunLog:
    """Writes a run's metrics; removes lines of steps that a resumed run repeats."""

    def __init__(self, directory: Path, step: int, track: Track | None = None) -> None:
        """Open the log at a step.

        Args:
          directory: of the run.
          step: the last valid step; later lines come from a run that was killed after
            its last checkpoint.
          track: takes the points of the curves too.
        """
        self._mirror = None
        if in_bucket(directory):
            self._mirror = Mirror(directory, METRICS, self.say)
            directory = self._mirror.folder
        self._path = directory / METRICS
        if self._path.exists():
            self._drop_after(step)
        self._file = self._path.open("a", encoding="utf-8")
        self._failed = False
        self._curves = Curves(directory / CURVES, step)
        self._tracker = Tracker(track, self.say)

    def write(self, step: int, metrics: Mapping[str, float], *, kind: str) -> None:
        """Write one line, `{"step": …, "kind": …, …}`, and the curves.

        Raises:
          OSError: the disk is full or fails, but for the curves, which is said; names
            the file.
        """
        line = {"step": step, "kind": kind, **metrics}
        with self._writing():
            self._file.write(json_text(line) + "\n")
            self._file.flush()
        was_whole = self._curves.is_whole
        points = {f"{kind}/{name}": value for name, value in metrics.items()}
        self._curves.write(step, points)
        self._tracker.write(step, points)
        if was_whole and not self._curves.is_whole:
            self.say(
                f"{self._path.parent / CURVES}: the disk is full or fails; curves lack "
                f"points from step {step} on, {METRICS} has them all"
            )
        if self._mirror is not None:
            self._mirror.written()

    def keep(self) -> None:
        """Have all lines where the checkpoint will be that is now to be saved.

        Raises:
          BlockingIOError: another process has taken over the run, in its bucket.
          OSError: the bucket cannot be reached.
        """
        if self._mirror is not None:
            self._curves.flush()
            self._mirror.copy()

    def say(self, text: str) -> None:
        """Print a line on the terminal, if there is one."""
        say(text)

    def close(self) -> None:
        """Flush and close the files.

        Raises:
          OSError: the disk is full or fails; names the file.
        """
        self._curves.close()
        try:
            with self._writing():
                # What a write could not flush, it has raised, and is left out.
                if not self._failed:
                    self._file.flush()
                    os.fsync(self._file.fileno())
        finally:
            # A second flush of what the disk refuses would raise here, and at the end
            # of the process.
            with suppress(OSError):
                self._file.close()
            if self._mirror is not None:
                self._mirror.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed = True
            raise OSError(
                f"{self._path} cannot be written ({error.strerror}); the same command "
                "goes on from the last checkpoint",
            ) from error

    def _drop_after(self, step: int) -> None:
        kept = []
        lines = self._path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            if number == len(lines) and not line.endswith(b"\n"):
                break  # cut short by a kill
            if _parse(line, self._path, number)["step"] <= step:
                kept.append(line)
        with open_output(self._path) as file:
            file.write(b"".join(kept))


class SilentLog(RunLog):
    """A log that writes nothing, for the processes other than the first."""

    def __init__(self) -> None:
        """Open nothing."""

    def write(self, step: int, metrics: Mapping[str, float], *, kind: str) -> None:
        """Write nothing."""

    def keep(self) -> None:
        """Keep nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Close nothing."""


def read_metrics(run: Path, kind: str) -> list[dict[str, Any]]:
    """Return a run's lines of one kind, "train" or "held_out".

    Raises:
      ValueError: a line is damaged; names the file and the line.
    """
    path = run / METRICS
    lines = path.read_bytes().splitlines() if path.exists() else []
    parsed = [_parse(line, path, number) for number, line in enumerate(lines, 1)]
    return [line for line in parsed if line["kind"] == kind]


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    source = f"{path}, line {number}"
    try:
        parsed = parse_object(line, source)
    except ValueError as error:
        raise ValueError(f"{error}; it is damaged, so remove the line") from error
    if type(parsed.get("step")) is not int or not isinstance(parsed.get("kind"), str):
        raise ValueError(f"{source} has no step or no kind; remove the line")
    return parsed


class Clock:
    """Measures the time of steps, without what comes between them."""

    def __init__(self) -> None:
        """Start."""
        self._began: float | None = None
        self._steps = 0
        self._mean: float | None = None

    def tick(self) -> None:
        """Record the end of a step."""
        now = time.perf_counter()
        if self._began is None:
            self._began, self._steps = now, 0
        else:
            self._steps += 1
            self._mean = (now - self._began) / self._steps

    def pause(self) -> None:
        """Leave out the time until the next tick; the mean holds until another one."""
        self._began = None

    def seconds_a_step(self) -> float | None:
        """Return the mean time of a step since the last pause or before it, or None."""
        return self._mean


def duration(seconds: float) -> str:
    """Format a time for messages.

    Example:
      >>> duration(59.0), duration(3700.0), duration(200000.0)
      ('59 s', '1 h 1 min', '2 d 7 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86400:.0f} d {seconds % 86400 // 3600:.0f} h"
