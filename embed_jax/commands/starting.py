# SPDX-License-Identifier: Apache-2.0
"""The first and the last moments of a command's process, in which nothing is under way.

Every command imports this module before any other, and the import does the work, if the
process is a command's (`python -m …`): the others take seconds, and Ctrl-C in the midst
of them gives a traceback or, where it hits native code that is half set up, a crash.
"""

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

STOPPED = 130
"""The exit status of a command that a signal has stopped."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a command to stop: Ctrl-C, a scheduler, the end of the terminal."""

_PACKAGES = "embed_jax", "elmo_jax", "train"
# Of these, `python -m` imports the package, which takes seconds, before the command.
_IN_HEAVY_PACKAGES = ("elmo_jax.score",)

_status: int | None = None
# Whether this process is a command's, and ends when that does.
_has_begun = False


def begin() -> None:
    """Have signals end this process at once and in silence; call it first of all.

    Descriptors 0 to 2 that are closed are opened to nothing: the next file that is
    opened would get such a number, and what libraries write to their stderr with it.
    """
    global _has_begun
    _has_begun = True
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It gets the lowest number that is free; children must have it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for number in SIGNALS:
        # What whoever started us wants ignored (nohup) stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)
    # Registered first, it is called last.
    atexit.register(_end)


def note_status(status: int) -> None:
    """Note the exit status of the command, for a signal that comes after its end.

    Where it was stopped, threads that are still at work fail, since Python's pools
    take nothing more at its end; what they would say of that is left out.
    """
    global _status
    _status = status
    if status == STOPPED and _has_begun:
        import logging

        logging.disable()
        threading.excepthook = _say_nothing


def _say_nothing(failure: threading.ExceptHookArgs) -> None:
    del failure


def _leave(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    os._exit(STOPPED if _status is None else _status)


def _end() -> None:
    """End a stopped process without the interpreter's own end.

    Its threads may be in native code, and those that come back from there while the
    interpreter is taken down abort the process. Any other process has come to its end:
    the interpreter will not call our handlers any more, and a signal would kill it.
    """
    if _status == STOPPED:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(STOPPED)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _is_command() -> bool:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        return spec.name.partition(".")[0] in _PACKAGES
    # `python -m` is looking for the module, and imports the package that it is in.
    return sys.argv[:1] == ["-m"] and any(
        name in sys.orig_argv for name in _IN_HEAVY_PACKAGES
    )


if _is_command():
    begin()
