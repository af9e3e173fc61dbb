# SPDX-License-Identifier: Apache-2.0
"""Exit status, output and error line of a command."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

from embed_jax.commands.starting import STOPPED, note_status
from embed_jax.commands.stopping import Stop, listening
from embed_jax.commands.streams import Lasting, lasting_output
from embed_jax.commands.surroundings import withstood
from embed_jax.messages import one_line, printable, with_options

Text = str | Callable[[], str]
"""A text, or what gives it when it is needed."""


def exit_status(name: Text, action: Callable[[], int | None], if_stopped: Text) -> int:
    """Run a command's work; return 0, 2 for an error, or 130 if a signal stopped it.

    SIGTERM and SIGHUP interrupt it as Ctrl-C does, so that context managers clean up;
    another signal, half a second later or more, ends the process at once. In another
    thread than the main one no signal is heard. Where nobody reads what it says any
    more, it goes on in silence. What it prints and logs has its control characters
    spelled out: a corpus may hold some that a terminal obeys. Where the error of a
    function names an argument (overwrite=True), the line names the option
    (--overwrite). All is as before when it returns.

    Args:
      name: of the command, which begins the error line.
      action: the work, the reading of its arguments included; raises ValueError and
        OSError for errors of the user. It may return a status of its own.
      if_stopped: the message after an interrupt: what is kept, and how to continue.
    """

    def line(text: str) -> str:
        return f"{_of(name)}: {text}"

    stop = Stop(lambda: line(f"stopped at once; {_of(if_stopped)}"))
    status, said = STOPPED, ""
    try:
        with (
            withstood(),
            listening(stop),
            lasting_output() as (out, error),
            _printable(out),
        ):
            try:
                status, said = _run(action, out, stop)
            except KeyboardInterrupt:
                status, said = STOPPED, "stopped"
            stop.ignore()
            if said:
                ending = f"; {_of(if_stopped)}" if status == STOPPED else ""
                error.write(f"{line(said + ending)}\n")
            error.flush()
    except KeyboardInterrupt:
        # It came before the command had begun, or with its last breath.
        stop.ignore()
    except SystemExit as end:
        note_status(end.code if isinstance(end.code, int) else int(bool(end.code)))
        raise
    note_status(status)
    return status


def _run(action: Callable[[], int | None], out: Lasting, stop: Stop) -> tuple[int, str]:
    """Return the status of the work, and what is to be said of it."""
    try:
        try:
            status = action() or 0
        except Exception:
            with contextlib.suppress(OSError):
                _flush(out)
            raise
        except BaseException:
            _flush(out)
            raise
        _flush(out)
    except (ValueError, OSError) as error:
        status, said = 2, with_options(one_line(error))
    except Exception:
        # What an interrupt makes of a library need not be a KeyboardInterrupt.
        if not stop.interrupted:
            raise
        return STOPPED, "stopped"
    else:
        return status, ""
    return (STOPPED, "stopped") if stop.interrupted else (status, said)


def _flush(out: Lasting) -> None:
    try:
        out.flush()
    except OSError:
        out.forget()
        raise


def _of(text: Text) -> str:
    return text if isinstance(text, str) else text()


@contextlib.contextmanager
def _printable(out: Lasting) -> Iterator[None]:
    """Spell out control characters of what is printed to stdout, and logged."""
    handler = logging.lastResort
    before = handler.formatter if handler else None
    if handler:
        handler.setFormatter(_PrintableFormatter())
    try:
        with contextlib.redirect_stdout(cast(Any, _PrintableStream(out))):
            yield
    finally:
        if handler:
            handler.setFormatter(before)


class _PrintableStream:
    """A text stream that writes to another one what `printable` makes of it.

    Attributes:
      as_it_is: the other one.
    """

    def __init__(self, stream: Any) -> None:
        self.as_it_is = stream

    def write(self, text: str) -> int:
        self.as_it_is.write(printable(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.as_it_is.writelines(map(printable, lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.as_it_is, name)


class _PrintableFormatter(logging.Formatter):
    """Formats as `logging` does by default."""

    def format(self, record: logging.LogRecord) -> str:
        return with_options(printable(super().format(record)))
