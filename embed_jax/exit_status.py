# SPDX-License-Identifier: Apache-2.0
"""Exit status and error line of a command."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from embed_jax.messages import one_line


def exit_status(name: str, action: Callable[[], None], if_stopped: str) -> int:
    """Run a command's work; return 0, 2 for an error, or 130 if it was interrupted.

    SIGTERM interrupts it as Ctrl-C does, so that context managers clean up.

    Args:
      name: of the command, which begins the error line.
      action: the work; raises ValueError and OSError for errors of the user.
      if_stopped: the message after an interrupt: what is kept, and how to continue.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        action()
    except (ValueError, OSError) as error:
        line = one_line(error)
        sys.stderr.write(f"{name}: {line}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: stopped; {if_stopped}\n")
        return 130
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise KeyboardInterrupt
