# SPDX-License-Identifier: Apache-2.0
"""How a command on several hosts ends where one of its processes is gone.

Where processes talk over TCP, a closed connection raises an error in the middle of a
step. Elsewhere a step waits for what never comes, until jax has missed the other's
heartbeat; then, and at once where process 0 is gone, jax ends this process by
`abort()`, and nothing in Python is asked.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax

REMEDY = "give the same command again on all hosts"

# Words of gloo and of jax's coordination service.
_TELLING = re.compile(r"gloo|coordination service|heartbeat", re.IGNORECASE)
# What the others need to notice, to speak and to leave.
_LAST_SECONDS = 5


class ProcessLostError(ConnectionError):
    """Another process of the same command is gone."""


@contextmanager
def noticing_lost_processes() -> Iterator[None]:
    """Name what the errors of a lost connection mean.

    Raises:
      ProcessLostError: instead of them.
    """
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:
        if jax.process_count() == 1 or not _TELLING.search(str(error)):
            raise
        reason = str(error).strip().splitlines()[0]
        raise ProcessLostError(
            f"another process is gone ({reason}); {REMEDY}"
        ) from error


@contextmanager
def last_words(text: str) -> Iterator[None]:
    """Have a line said where this process ends without a chance to say it.

    Args:
      text: the line, said by a process of its own that sees this one's end.
    """
    watcher = subprocess.Popen(
        ["sh", "-c", 'read -r _ || printf "%s\\n" "$0" >&2', text],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is not meant for it
    )
    try:
        yield
    finally:
        watcher.communicate(b"well\n")


def leave(status: int) -> int:
    """Return an exit status; where it is an error on several hosts, leave at once.

    An ordinary exit would wait for the other processes, which may wait for this one.
    """
    if status and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        if jax.process_index() == 0:
            time.sleep(_LAST_SECONDS)  # its end is the end of all others
        os._exit(status)
    return status
