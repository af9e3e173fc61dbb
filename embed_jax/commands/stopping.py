# SPDX-License-Identifier: Apache-2.0
"""What Ctrl-C, SIGTERM and SIGHUP do to a command while it works.

The first one interrupts it, so that context managers clean up, or is noted by whoever
polls and saves. Another one ends the process at once: all files are written beside and
renamed, and a kill at any moment leaves nothing half made. Handlers are set in the main
thread only, and those of before are put back.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from embed_jax.commands.starting import SIGNALS, STOPPED

# Programs that pass a signal on, and schedulers that signal a group, send it twice
# within an instant.
_SAME_SECONDS = 0.5
# Until an interrupt is tried again that was raised where Python ignores exceptions.
_AGAIN_SECONDS = 0.01


class Stop:
    """The signals that one command has received.

    Attributes:
      interrupts: whether the first one raises KeyboardInterrupt, or is only noted.
      interrupted: whether one has.
      heard: whether there was one.
    """

    def __init__(self, at_once: Callable[[], str]) -> None:
        """Listen to nothing yet.

        Args:
          at_once: gives the line to say when the process ends at once.
        """
        self.interrupts, self.interrupted, self.heard = True, False, False
        self._at_once, self._since, self._first = at_once, 0.0, 0
        self._over = self._has_ended_children = False
        self._before: dict[int, Any] = {}
        self._hook_before: Any = None

    def listen(self) -> None:
        """Set the handlers; not in another thread, where Python can set none."""
        if not _is_main():
            return
        self._hook_before = sys.unraisablehook
        sys.unraisablehook = self._on_unraisable
        for number in SIGNALS:
            before = signal.getsignal(number)
            # Ignored (nohup) stays ignored; None is a handler that is not Python's.
            if before is not signal.SIG_IGN and before is not None:
                self._before[number] = before
                signal.signal(number, self._handle)

    def ignore(self) -> None:
        """Have no further signal do anything: the outcome is known."""
        self._over = True

    def restore(self) -> None:
        """Put back the handlers of before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._hook_before is not None:
            sys.unraisablehook = self._hook_before
        self._before, self._hook_before = {}, None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        del frame
        if self._over:
            return
        now = time.monotonic()
        if not self.heard:
            self.heard, self._since, self._first = True, now, signum
            if self.interrupts:
                self.interrupted = True
                raise KeyboardInterrupt
        elif signum != signal.SIGHUP and now - self._since > _SAME_SECONDS:
            # A terminal that goes is no second wish.
            self._since = now
            self._leave()

    def _leave(self) -> None:
        children = multiprocessing.active_children()
        if children and not self._has_ended_children:
            # Without them whoever waits for them goes on, and cleans up after them.
            self._has_ended_children = True
            for child in children:
                child.terminate()
            return
        # Not by `sys.stderr`, which may be at work just now.
        with suppress(OSError):
            os.write(2, f"{self._at_once()}\n".encode(errors="replace"))
        os._exit(STOPPED)

    def _on_unraisable(self, unraisable: Any) -> None:
        """Interrupt again where the interrupt hit what may raise nothing."""
        if self.interrupted and issubclass(unraisable.exc_type, KeyboardInterrupt):
            self.heard = False
            again = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), self._first))
            again.daemon = True
            again.start()
        else:
            self._hook_before(unraisable)


# That of the command that is running in the main thread.
_current: Stop | None = None


@contextmanager
def listening(stop: Stop) -> Iterator[None]:
    """Have a command's signals heard by `stop` within the block."""
    global _current
    before = _current
    try:
        stop.listen()  # From the first handler on, a signal may interrupt.
        if _is_main():
            _current = stop
        yield
    finally:
        if _current is stop:
            _current = before
        stop.restore()


class Noting:
    """Tells whether a command was asked to stop, once somebody wants to know.

    Until it is first called a signal interrupts, as anywhere else: who does not poll
    yet would not hear it.
    """

    def __init__(self, stop: Stop) -> None:
        """Note the signals that `stop` hears."""
        self._stop = stop

    def __call__(self) -> bool:
        """Return whether a signal was received; from now on it is only noted."""
        self._stop.interrupts = False
        return self._stop.heard


@contextmanager
def noting() -> Iterator[Noting]:
    """Give a function that tells whether the command was asked to stop.

    Afterwards signals interrupt again. In another thread than the main one it hears
    none.
    """
    running = _current
    if running is not None and _is_main():
        try:
            yield Noting(running)
        finally:
            running.interrupts = True
        return
    stop = Stop(lambda: "stopped at once; what was saved before is kept")
    with listening(stop):
        yield Noting(stop)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
