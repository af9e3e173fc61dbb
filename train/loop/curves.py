# SPDX-License-Identifier: Apache-2.0
"""Writing of a run's metrics as TensorBoard event files."""

import importlib
import math
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorboardX.record_writer import RecordWriter


# So many seconds of points a kill may lose; each time the disk is waited for.
SECONDS_BETWEEN_FLUSHES = 1.0


class Curves:
    """Writes scalars for TensorBoard; errors of the disk never stop the run.

    Events are written synchronously, in tensorboardX's record format. Its own writer
    uses a thread, and once a full disk has ended that thread, a caller that adds a
    point blocks for ever.
    """

    def __init__(self, directory: Path, step: int) -> None:
        """Open the curves at a step.

        Args:
          directory: of the event files.
          step: the last valid step; TensorBoard drops the points of later steps, which
            come from a run that was killed after its last checkpoint.
        """
        self._directory, self._step = directory, step
        self._writer: RecordWriter | None = None
        self._flushed = -math.inf
        self.is_whole = True
        """Whether every point so far has been written."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a point to each named curve, unless the disk fails."""
        of = _messages("summary").Summary
        points = [of.Value(tag=name, simple_value=y) for name, y in values.items()]
        event = _messages("event").Event(
            wall_time=time.time(), step=step, summary=of(value=points)
        )
        try:
            writer = self._writer = self._writer or self._open()
            writer.write(event.SerializeToString())
            if time.monotonic() - self._flushed >= SECONDS_BETWEEN_FLUSHES:
                writer.flush()
                self._flushed = time.monotonic()
        except OSError:
            self.is_whole = False
            # The record may be cut short, and nobody would read on behind it.
            self.close()

    def flush(self) -> None:
        """Have all points in the file."""
        try:
            if self._writer is not None:
                self._writer.flush()
        except OSError:
            self.is_whole = False
            self.close()

    def close(self) -> None:
        """Close the file; a point that comes later opens another."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.close()
        except OSError:
            self.is_whole = False

    def _open(self) -> "RecordWriter":
        from tensorboardX.record_writer import RecordWriter

        self._directory.mkdir(parents=True, exist_ok=True)
        now = time.time()
        # TensorBoard reads files in the order of their names.
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}"
        path = self._directory / name
        of = _messages("event")
        start = of.SessionLog(status=of.SessionLog.START)
        events = [of.Event(wall_time=now, file_version="brain.Event:2")]
        if self._step:
            # Points of this step and of later ones are dropped.
            first = self._step + 1
            events.append(of.Event(wall_time=now, step=first, session_log=start))
        writer = RecordWriter(str(path))
        try:
            for event in events:
                writer.write(event.SerializeToString())
            writer.flush()
        except OSError:
            # Each point tries again, and would leave a file.
            with suppress(OSError):
                writer.close()
            path.unlink(missing_ok=True)
            raise
        self._step = 0
        return writer


def _messages(name: str) -> Any:
    """Import and return a module of TensorBoard's protocol buffer messages.

    It is imported late, because it imports torch, if installed, which takes seconds.
    """
    return importlib.import_module(f"tensorboardX.proto.{name}_pb2")
