# SPDX-License-Identifier: Apache-2.0
"""Work for processes of their own, one of which may be killed at any moment."""

import multiprocessing.context
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

# What stands in a script that tells its first process from those that import it.
_KNOWS_ITSELF = (b"__main__", b"parent_process", b"current_process")
# A process that waits takes less than this share of a core.
_WAITING = 0.01


class _Unheeding(SpawnProcess):
    """A process that Ctrl-C does not reach, not even while it imports.

    It is meant for the whole group of a terminal; whoever started this one hears it,
    and ends it.
    """

    def start(self) -> None:
        """Start it."""
        # The first start of a process starts this one too, and unblocks the signal.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Spawning(multiprocessing.context.SpawnContext):
    """The context of an executor, which knows the processes that it has started.

    They are spawned: a fork would share the state of JAX's threads, but not the
    threads.
    """

    def __init__(self) -> None:
        """Start nothing yet.

        Raises:
          ValueError: the program would start itself in each process; names it.
        """
        super().__init__()
        _check_main()
        self._started: list[SpawnProcess] = []

    def Process(  # noqa: N802  # pyright: ignore[reportIncompatibleVariableOverride]
        self, *args: Any, **kwargs: Any
    ) -> SpawnProcess:
        """Make a process, as an executor asks for one."""
        process = _Unheeding(*args, **kwargs)
        self._started.append(process)
        return process

    def cpu_seconds(self) -> float | None:
        """Return the processor time of the processes that run.

        None if the system does not tell, as only Linux does in /proc.
        """
        ticks = 0
        for process in self._started:
            try:
                line = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
            except FileNotFoundError:
                if not Path("/proc/self/stat").exists():
                    return None
                continue  # It has ended.
            # The name, in parentheses, may hold anything; user and system time are
            # the 14th and 15th field.
            ticks += sum(map(int, line.rpartition(")")[2].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """End the processes of this context, and nobody else's.

        An executor ends those that it knew when one of them was killed. One that was
        being started just then waits for work for ever, and so does whoever waits for
        its end.
        """
        started = [process for process in self._started if process.pid is not None]
        for process in started:
            process.terminate()
        for process in started:
            process.join()


def _check_main() -> None:
    """Refuse a script that does at its import what starts the processes.

    A process that is spawned imports the main program first, and would start others
    there, which fails; and who waits for it would only know that it has ended.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        text = Path(script).read_bytes() if script else b""
    except OSError:  # It was given by a pipe, and no process imports it.
        return
    if text and not any(mark in text for mark in _KNOWS_ITSELF):
        raise ValueError(
            f"{script} starts processes, which import it first: put what it does under "
            'if __name__ == "__main__":, or ask for one process (num_workers=1, jobs=1)'
        )


def submit_each(
    workers: Executor, function: Callable, calls: Iterable[tuple]
) -> list[Future]:
    """Submit a call of a function for each tuple of arguments.

    Raises:
      BrokenProcessPool: a process was killed meanwhile. An executor itself says so only
        between two starts of a process: one that dies during a start has the pipes
        closed that the start hands over, which then fails in words about those.
    """
    futures: list[Future] = []
    for arguments in calls:
        try:
            futures.append(workers.submit(function, *arguments))
        except (OSError, ValueError) as error:
            for earlier in futures:
                if earlier.done() and isinstance(
                    killed := earlier.exception(), BrokenProcessPool
                ):
                    raise killed from error
            raise
    return futures


def wait_for_each(
    futures: Iterable[Future], processes: Spawning, patience: float
) -> None:
    """Wait for calls that take processor time, unless their processes stand still.

    Args:
      futures: of the calls.
      processes: those that run the calls.
      patience: seconds without processor time after which they are said to stand still.

    Raises:
      TimeoutError: calls are missing, and no process has done anything for `patience`.
      Exception: that of the first call to fail.
    """
    missing = set(futures)
    since, before = time.monotonic(), processes.cpu_seconds()
    while missing:
        ended, missing = wait(missing, patience / 10, FIRST_COMPLETED)
        for future in ended:
            future.result()
        now = processes.cpu_seconds()
        if (
            ended
            or now is None
            or before is None
            or abs(now - before) > _WAITING * patience
        ):
            since, before = time.monotonic(), now
        elif time.monotonic() - since > patience:
            raise TimeoutError(f"no process has done anything for {patience:.0f} s")
