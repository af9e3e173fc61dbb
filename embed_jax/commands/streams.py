# SPDX-License-Identifier: Apache-2.0
"""Output of commands whose reader may go: no work ends because nobody listens.

`| head` ends its reading, a terminal is closed, a job is started without stderr. What
is said is then lost; what is computed is not.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, cast


class Lasting:
    """A text stream that takes what is written even where nobody reads it any more."""

    def __init__(self, stream: Any, lost: tuple[type[Exception], ...]) -> None:
        """Write to a stream.

        Args:
          stream: to write to; None, or one that is closed, for none.
          lost: errors of writing after which what was written is lost in silence,
            besides those that its reader has left.
        """
        self._is_missing = stream is None or getattr(stream, "closed", False)
        self._stream: Any = io.StringIO() if self._is_missing else stream
        self._lost = lost
        # Asked later, a terminal that is closed would say that it is none.
        self._is_terminal = _is_terminal(self._stream)

    def write(self, text: str) -> int:
        """Write text; return its length."""
        if not self._is_missing:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Have all that was written where it is read."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def forget(self) -> None:
        """Drop what could not be written, and all that comes.

        Else Python tries it once more at its end, and complains.
        """
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = self._stream.fileno()
            if descriptor in (1, 2):  # Not of a stream that a program has made.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
                self._stream.flush()

    def _lose(self, error: OSError | ValueError) -> None:
        # What nobody reads stays so; a disk may have room again.
        if self._is_left(error):
            self.forget()
        elif not isinstance(error, self._lost):
            raise error

    def _is_left(self, error: OSError | ValueError) -> bool:
        """Return whether an error says that nobody reads the stream any more."""
        is_closed = getattr(error, "errno", None) == errno.EIO and self._is_terminal
        return is_closed or isinstance(error, BrokenPipeError)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_output() -> Iterator[tuple[Lasting, Lasting]]:
    """Make stdout and stderr last, within the block, however their readers fare.

    A stdout that fails otherwise than by a reader's leave, such as a file on a full
    disk, still raises: what is written there is wanted.
    """
    out = Lasting(_plain(sys.stdout), ())
    error = Lasting(_plain(sys.stderr), (OSError, ValueError))
    with (
        contextlib.redirect_stdout(cast(Any, out)),
        contextlib.redirect_stderr(cast(Any, error)),
    ):
        yield out, error


def _is_terminal(stream: Any) -> bool:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return stream.isatty()
    return False


def _plain(stream: Any) -> Any:
    """Return the stream below one that another command, in another thread, has made."""
    return stream._stream if isinstance(stream, Lasting) else stream


def say(text: str) -> None:
    """Write a line to stderr, unless nobody can read it there."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
