# SPDX-License-Identifier: Apache-2.0
"""Commands in processes that are forked from one that has imported everything.

A start of Python and jax takes many seconds, a small command hardly one; so a hundred
kills of each command are a matter of minutes. No backend of jax may have begun in the
process that forks: a fork has the state of its threads, but not the threads.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Child:
    """A forked process, with a group of its own, that runs a function.

    Attributes:
      pid: of the process.
    """

    def __init__(self, function: Callable[[], Any], said: Path) -> None:
        """Start it.

        Args:
          function: its value, which JSON can hold, is the result; or the status of
            its SystemExit.
          said: a file for what it writes to its terminal.
        """
        self._said = said
        self._began = time.monotonic()
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Of threads, which are lost. Those that are here are of no use to it.
            warnings.simplefilter("ignore")
            self.pid = os.fork()
        if not self.pid:
            os.close(reading)
            _run(function, said, writing)
        os.close(writing)
        self._reading = reading
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(self.pid, self.pid)

    def wait(self, seconds: float) -> bool:
        """Wait for its end, so long at most; return whether it has ended."""
        return bool(select.select([self._reading], [], [], max(seconds, 0))[0])

    def kill(self) -> bool:
        """Kill it and what it has started; return whether it was still at work."""
        hit = not self.wait(0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._reading)
        return hit

    def result(self) -> Any:
        """Wait for its end; return its result.

        Raises:
          RuntimeError: it had none.
        """
        content = b""
        while block := os.read(self._reading, 1 << 20):
            content += block
        self.seconds = time.monotonic() - self._began
        os.waitpid(self.pid, 0)
        os.close(self._reading)
        if not content:
            raise RuntimeError(f"a process ended without a word: {self.said()[-2000:]}")
        ended_well, result = json.loads(content)
        if not ended_well:
            raise RuntimeError(f"{result}: {self.said()[-2000:]}")
        return result

    def said(self) -> str:
        """Return what it has written to its terminal."""
        return self._said.read_text(encoding="utf-8", errors="replace")


def _run(function: Callable[[], Any], said: Path, writing: int) -> None:
    """Run a function in the fork, hand over its result, and end."""
    os.setpgid(0, 0)
    terminal = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(terminal, 1)
    os.dup2(terminal, 2)
    try:
        told = json.dumps([True, function()])
    except SystemExit as end:
        told = json.dumps([True, end.code])
    except BaseException as error:
        traceback.print_exc()
        told = json.dumps([False, str(error)])
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(writing, "wb") as file:
        file.write(told.encode())
    # Not `sys.exit`: what is to be done at the end is the first process's.
    os._exit(0)


def main_of(module: str, arguments: list[str]) -> Callable[[], int]:
    """Return a function that runs `python -m MODULE ARGUMENTS` where it is called."""

    def run() -> int:
        # Progress and thread pools are of a process that was not forked.
        return importlib.import_module(module).main(arguments)

    return run
