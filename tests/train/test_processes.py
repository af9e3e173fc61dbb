# SPDX-License-Identifier: Apache-2.0
"""A process that is killed is told of, whenever it is, and none stays behind."""

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import SimpleNamespace

import pytest

from train.data.encoding import Shards
from train.data.sources import TextSource, open_documents
from train.families.elmo.preparing import WordEncoder
from train.processes import Spawning, submit_each, wait_for_each


@pytest.fixture
def bystander() -> Iterator[SpawnProcess]:
    """A process of somebody else's, in the same program."""
    process = multiprocessing.get_context("spawn").Process(
        target=time.sleep, args=(60,)
    )
    process.start()
    yield process
    process.terminate()
    process.join()


def kill_the_first(
    monkeypatch: pytest.MonkeyPatch, bystander: SpawnProcess, *, before: bool
) -> list[SpawnProcess]:
    """Have the first process die just before, or while, the second is started.

    Returns:
      The processes, which are to be.
    """
    start, made = SpawnProcess.start, []

    def start_and_kill(process: SpawnProcess) -> None:
        made.append(process)
        others = [p for p in multiprocessing.active_children() if p != bystander]

        def kill() -> None:
            for other in others:
                other.kill()
                other.join()
            # The executor closes its queues in a thread of its own.
            time.sleep(0.5 * len(others))

        steps: list[Callable] = [lambda: start(process)]
        steps.insert(0 if before else 1, kill)
        for step in steps:
            step()

    monkeypatch.setattr(SpawnProcess, "start", start_and_kill)
    return made


def test_a_script_that_every_process_would_run_is_refused(tmp_path, monkeypatch):
    script = tmp_path / "mine.py"
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(script)))
    script.write_text("prepare(config().data, print)\n")
    with pytest.raises(
        ValueError, match=r'mine\.py starts .* if __name__ == "__main__"'
    ):
        Spawning()
    script.write_text('if __name__ == "__main__":\n    prepare(config().data, print)\n')
    Spawning()
    # Read from a pipe, or typed in.
    script.unlink()
    Spawning()
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())
    Spawning()


@pytest.mark.parametrize("before", [True, False])
def test_a_process_that_dies_while_another_starts_is_told_of(
    monkeypatch, bystander, before
):
    kill_the_first(monkeypatch, bystander, before=before)
    processes = Spawning()
    workers = ProcessPoolExecutor(2, processes)
    try:
        with pytest.raises(BrokenProcessPool):
            # Where the second has started nevertheless, the first call tells.
            submit_each(workers, time.sleep, [(60,), (60,)])[0].result()
    finally:
        processes.end()
        workers.shutdown()
    assert multiprocessing.active_children() == [bystander]


@pytest.mark.parametrize("before", [True, False])
def test_a_text_whose_process_dies_says_what_to_do(
    tmp_path: Path, monkeypatch, bystander, before
):
    text = tmp_path / "text.txt"
    text.write_text("The cat sat.\n\nA dog ran.\n\n")
    source = TextSource(patterns=(str(text),), form="documents")
    shards = Shards(
        path=tmp_path / "shards",
        documents=open_documents(source, tmp_path / "cache"),
        held_out_every=2,
        encoder=WordEncoder("moses"),
    )
    with monkeypatch.context() as patch:
        made = kill_the_first(patch, bystander, before=before)
        with pytest.raises(OSError, match="lower num_workers and run this again"):
            list(shards.write(num_workers=2))
    assert multiprocessing.active_children() == [bystander]
    # The second was ended, and not waited for, unless it could not be started.
    assert made[1].pid is None or made[1].exitcode == -signal.SIGTERM
    list(shards.write(num_workers=1))
    assert sum(tally.documents for tally in shards.kept()) == 2


def test_what_else_fails_at_a_start_is_raised_as_it_is(monkeypatch):
    def fail(process: SpawnProcess) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(SpawnProcess, "start", fail)
    processes = Spawning()
    with (
        ProcessPoolExecutor(2, processes) as workers,
        pytest.raises(OSError, match="no more processes"),
    ):
        submit_each(workers, time.sleep, [(0,)])
    processes.end()  # there is none to end


def be_busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.mark.parametrize("stands_still", [True, False])
def test_processes_that_do_nothing_are_not_waited_for(stands_still):
    processes = Spawning()
    with ProcessPoolExecutor(2, processes) as workers:
        # One that waits for work does nothing either.
        submit_each(workers, abs, [(1,)])[0].result()
        act = time.sleep if stands_still else be_busy
        futures = submit_each(workers, act, [(60 if stands_still else 3,)])
        try:
            if stands_still:
                with pytest.raises(TimeoutError, match="no process has done anything"):
                    wait_for_each(futures, processes, patience=1.0)
                assert not futures[0].done()
            else:
                wait_for_each(futures, processes, patience=1.0)
                assert futures[0].done()
        finally:
            processes.end()


def test_what_a_call_raises_is_raised_by_waiting_for_it():
    processes = Spawning()
    with ProcessPoolExecutor(1, processes) as workers:
        futures = submit_each(workers, int, [("1",), ("one",)])
        with pytest.raises(ValueError, match="'one'"):
            wait_for_each(futures, processes, patience=60.0)


def test_a_process_that_was_started_does_not_hear_ctrl_c():
    """It would say so in a traceback, beside the one line of the command."""
    with ProcessPoolExecutor(1, mp_context=Spawning()) as pool:
        blocked = pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
    assert signal.SIGINT in blocked
    assert signal.SIGTERM not in blocked
    # The process that starts it does, as before.
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
