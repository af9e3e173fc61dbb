# SPDX-License-Identifier: Apache-2.0
"""One run in several processes: the numbers of one, and one end for all."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import jax
import pytest

from embed_jax.files.run_directory import saved_steps
from tests.train.command import Command, finish, free_port, row_digests
from tests.train.experiments import (
    KINDS,
    check_close,
    check_same,
    copy_until,
    is_saving,
    make_experiment,
    num_lines,
)
from train.loop.setup import set_up
from train.loop.sharding import training_mesh
from train.pretrain import pretrain

NAME = "train.pretrain: "
NUM_PROCESSES = 4
CHANGES = {"num_steps": 30, "save_every": 5, "eval_every": 10, "keep_last": 9}
# Rows alone, and weights and rows.
FSDP = {"bert": 1, "elmo": 2}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def command(folder) -> Iterator[Command]:
    command = Command(folder)
    yield command
    command.end()


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """Where the processes of the runs of `whole` write down their rows."""
    return tmp_path_factory.mktemp("rows")


@pytest.fixture(scope="module")
def whole(command, rows, tmp_path_factory):
    """Make a run of four processes that nothing interrupts, once for each kind."""
    path = tmp_path_factory.mktemp("whole")

    def make(kind: str) -> Path:
        if not (path / kind).exists():
            (rows / kind).mkdir()
            finish(*start(command, kind, path / kind, rows=rows / kind))
        return path / kind

    return make


def start(command: Command, kind: str, run: Path, **more) -> list[Popen]:
    options = {**CHANGES, **more}
    return command.start_all(NUM_PROCESSES, kind, run, "--fsdp", FSDP[kind], **options)


def rows_of(directory: Path) -> list[dict[int, int]]:
    """Put together the digests of the rows of each step, of all processes."""
    of_processes = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in directory.iterdir()
    ]
    steps = []
    for parts in zip(*of_processes, strict=True):
        merged = {int(row): part[row] for part in parts for row in part}
        assert len(merged) == sum(map(len, parts))  # no row in two processes
        steps.append(merged)
    return steps


@pytest.mark.parametrize("kind", KINDS)
def test_one_two_and_four_processes_take_the_same_course(
    command, whole, rows, folder, tmp_path, kind
):
    """All from the start; one and two from a checkpoint of four, too."""
    experiment = make_experiment(kind, folder, **CHANGES)
    one = training_mesh(1, jax.devices()[:1])
    pretrain(experiment, tmp_path / "one", mesh=one)
    check_close(whole(kind), tmp_path / "one")

    batches = set_up(experiment).objectives[0].batches
    expected = [row_digests(batches[step].rows) for step in range(30)]
    assert rows_of(rows / kind) == expected

    pretrain(experiment, copy_until(whole(kind), tmp_path / "by_one", 10), mesh=one)
    check_close(tmp_path / "by_one", tmp_path / "one")
    resumed = copy_until(whole(kind), tmp_path / "by_two", 10)
    for run, first in ((tmp_path / "two", 0), (resumed, 10)):
        rows_of_two = tmp_path / f"rows_from_{first}"
        rows_of_two.mkdir()
        options = {**CHANGES, "num_devices": 2, "rows": rows_of_two}
        finish(*command.start_all(2, kind, run, "--fsdp", 4, **options))
        check_close(run, tmp_path / "one")
        assert rows_of(rows_of_two) == expected[first:]


def wait_until(condition, processes: list[Popen]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def kill(processes: list[Popen], index: int) -> None:
    """Kill one process; the others say what to do, and end within a minute."""
    processes[index].kill()
    killed = time.monotonic()
    for number, process in enumerate(processes):
        _, error = process.communicate(timeout=60)
        assert time.monotonic() - killed < 60
        if number == index:
            assert process.returncode == -signal.SIGKILL
            continue
        assert process.returncode != 0
        # What jax writes may stand before it and behind it.
        (line,) = [line for line in error.splitlines() if line.startswith(NAME)]
        assert line.endswith("give the same command again on all hosts")


def test_one_is_told_to_stop_and_two_are_killed(command, whole, tmp_path):
    """The same command on all hosts goes on, to the last bit."""
    run = tmp_path / "run"
    processes = start(command, "elmo", run)
    wait_until(lambda: num_lines(run) >= 3, processes)
    processes[3].terminate()
    error = finish(*processes, status=130)
    step = int(error.split("stopped and saved at step ")[1].split()[0])
    assert saved_steps(run)[-1] == step < CHANGES["num_steps"]

    processes = start(command, "elmo", run)
    lines = num_lines(run)
    wait_until(lambda: num_lines(run) >= lines + 3, processes)
    kill(processes, 2)

    processes = start(command, "elmo", run)
    lines = num_lines(run)
    wait_until(lambda: num_lines(run) > lines and is_saving(run), processes)
    kill(processes, 0)

    error = finish(*start(command, "elmo", run))
    assert "going on from the checkpoint of step" in error
    assert not is_saving(run)
    check_same(run, whole("elmo"))


def check_refused(processes: list[Popen], *texts: str) -> None:
    """All end with one line each, of which the first ones are these."""
    for process, text in zip(processes, texts, strict=True):
        _, error = process.communicate(timeout=120)
        assert process.returncode == 2, error
        (line,) = [line for line in error.splitlines() if line.startswith(NAME)]
        assert text in line


def test_a_run_that_hosts_do_not_share(command, tmp_path):
    runs = tmp_path / "here", tmp_path / "there"
    processes = command.start_all(2, "bert", runs, **CHANGES)
    check_refused(processes, "process 1 cannot go on", "process 1 does not see in")


def test_hosts_that_are_given_different_commands(command, tmp_path):
    together = "--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", 2
    processes = [
        command.start(
            *("bert", tmp_path / "run", *together, "--process-id", index, "--fsdp", 2),
            seed=index,
        )
        for index in (0, 1)
    ]
    text = "process 1 has another configuration than process 0"
    check_refused(processes, "process 1 cannot go on", text)
    assert not (tmp_path / "run").exists()
