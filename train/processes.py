# SPDX-License-Identifier: Apache-2.0
"""Work for processes of their own, one of which may be killed at any moment."""

import multiprocessing.context
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnProcess
from typing import Any


class Spawning(multiprocessing.context.SpawnContext):
    """The context of an executor, which knows the processes that it has started.

    They are spawned: a fork would share the state of JAX's threads, but not the
    threads.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        super().__init__()
        self._started: list[SpawnProcess] = []

    def Process(  # noqa: N802  # pyright: ignore[reportIncompatibleVariableOverride]
        self, *args: Any, **kwargs: Any
    ) -> SpawnProcess:
        """Make a process, as an executor asks for one."""
        process = SpawnProcess(*args, **kwargs)
        self._started.append(process)
        return process

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
