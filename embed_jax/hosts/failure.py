# SPDX-License-Identifier: Apache-2.0
"""Ending a command on several hosts after one of its processes has failed.

If the processes communicate over TCP (gloo), the closed connection raises an error
within a step. Otherwise a step hangs until jax misses the heartbeat of the lost
process; then, or at once if process 0 is lost, jax ends this process by `abort()`,
without running any Python code.
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
    """Another process of the same command has failed or ended."""


@contextmanager
def noticing_lost_processes() -> Iterator[None]:
    """Replace errors of a lost connection by one that names the cause and the remedy.

    Raises:
      ProcessLostError: the block raised an error of gloo or jax's coordination service.
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
    """Have a line printed to stderr if this process dies within the block.

    Args:
      text: the line, printed by a child process that notices the end of this one.
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
    """Return an exit status; after an error on several hosts, exit at once instead.

    A normal exit would wait for the other processes, which may wait for this one.
    """
    if status and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        if jax.process_index() == 0:
            time.sleep(_LAST_SECONDS)  # its end is the end of all others
        os._exit(status)
    return status
