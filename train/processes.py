# SPDX-License-Identifier: Apache-2.0
"""Work for processes of their own, one of which may be killed at any moment."""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool


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


def end_processes() -> None:
    """End the processes that this one has started.

    An executor ends those that it knew when one of them was killed. One that was being
    started just then waits for work for ever, and so does whoever waits for its end.
    """
    children = multiprocessing.active_children()
    for process in children:
        process.terminate()
    for process in children:
        process.join()
