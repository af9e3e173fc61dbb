# SPDX-License-Identifier: Apache-2.0
"""A process that is killed is told of, whenever it is."""

import multiprocessing
import multiprocessing.context
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from train.processes import end_processes, submit_each


class KillsTheFirst(multiprocessing.context.SpawnProcess):
    """Whose second start happens while the first dies, as the system may have it."""

    def start(self) -> None:
        others = multiprocessing.active_children()
        for process in others:
            process.kill()
            process.join()
        # The executor closes its queues in a thread of its own.
        time.sleep(0.5 * len(others))
        super().start()


def test_a_process_that_dies_while_another_starts_is_told_of(monkeypatch):
    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(context, "Process", KillsTheFirst)
    workers = ProcessPoolExecutor(2, context)
    try:
        with pytest.raises(BrokenProcessPool):
            # A later Python starts the second nevertheless: the first call tells.
            submit_each(workers, time.sleep, [(60,), (60,)])[0].result()
    finally:
        end_processes()
        workers.shutdown()


def test_what_else_fails_at_a_start_is_raised_as_it_is(monkeypatch):
    context = multiprocessing.get_context("spawn")

    class Fails(multiprocessing.context.SpawnProcess):
        def start(self) -> None:
            raise OSError("no more processes")

    monkeypatch.setattr(context, "Process", Fails)
    with (
        ProcessPoolExecutor(2, context) as workers,
        pytest.raises(OSError, match="no more processes"),
    ):
        submit_each(workers, time.sleep, [(0,)])
