# SPDX-License-Identifier: Apache-2.0
"""Exit status, output and error line of a command."""

import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

from embed_jax.messages import one_line, printable, with_options


def exit_status(name: str, action: Callable[[], None], if_stopped: str) -> int:
    """Run a command's work; return 0, 2 for an error, or 130 if it was interrupted.

    SIGTERM interrupts it as Ctrl-C does, so that context managers clean up. What it
    prints and logs has its control characters spelled out: a corpus may hold some that
    a terminal obeys. Where the error of a function names an argument (overwrite=True),
    the line names the option (--overwrite).

    Args:
      name: of the command, which begins the error line.
      action: the work; raises ValueError and OSError for errors of the user.
      if_stopped: the message after an interrupt: what is kept, and how to continue.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if logging.lastResort:
        logging.lastResort.setFormatter(_PrintableFormatter())
    try:
        with contextlib.redirect_stdout(cast(Any, _PrintableStream(sys.stdout))):
            action()
    except (ValueError, OSError) as error:
        line = with_options(one_line(error))
        sys.stderr.write(f"{name}: {line}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: stopped; {if_stopped}\n")
        return 130
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise KeyboardInterrupt


class _PrintableStream:
    """A text stream that writes to another one what `printable` makes of it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        self._stream.writelines(map(printable, lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _PrintableFormatter(logging.Formatter):
    """Formats as `logging` does by default."""

    def format(self, record: logging.LogRecord) -> str:
        return with_options(printable(super().format(record)))
