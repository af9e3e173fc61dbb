# SPDX-License-Identifier: Apache-2.0
"""How a command ends: its exit status, and one line for whatever went wrong."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from embed_jax.messages import one_line


def exit_status(name: str, action: Callable[[], None], if_stopped: str) -> int:
    """Run a command's work; return 0, or 2 for an error, or 130 where it was stopped.

    SIGTERM stops it as Ctrl-C does, so that what is open is closed and tidied up.

    Args:
      name: of the command, which begins the line.
      action: the work; raises ValueError and OSError for what a user can cause.
      if_stopped: what is left, and how to go on.
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
