# SPDX-License-Identifier: Apache-2.0
"""A run that is stopped or killed anywhere ends with the numbers of one that is not."""

import random
import signal
import subprocess
import time
from pathlib import Path

import jax
import pytest

from embed_jax.devices.mesh import data_mesh
from embed_jax.files.run_directory import saved_steps
from tests.train.command import Command, finish
from tests.train.experiments import (
    KINDS,
    check_close,
    check_same,
    is_saving,
    losses,
    make_experiment,
    num_lines,
    stop_after,
)
from train.loop.sharding import training_mesh
from train.pretrain import pretrain

NUM_STEPS = 60


@pytest.fixture(scope="module")
def start(folder):
    """Start the command in a process of its own."""
    command = Command(folder)

    def start(kind: str, run: Path, num_devices: int) -> subprocess.Popen:
        return command.start(
            kind,
            run,
            num_devices=num_devices,
            num_steps=NUM_STEPS,
            eval_every=9,
            save_every=3,
        )

    yield start
    command.end()


@pytest.fixture(scope="module")
def whole_run(start, tmp_path_factory):
    """Make a run that nothing interrupts, once for each kind and number of devices."""
    path = tmp_path_factory.mktemp("whole")

    def make(kind: str, num_devices: int) -> Path:
        run = path / f"{kind}_{num_devices}"
        if not run.exists():
            finish(start(kind, run, num_devices))
        return run

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "num_devices"), [("elmo", 4), ("bert", 1), ("elmo", 1), ("bert", 4)]
)
def test_a_stopped_run_goes_on(folder, tmp_path, capsys, kind, num_devices):
    # Figures are means of five steps, so a stop may fall between two lines.
    mesh = data_mesh(jax.devices()[:num_devices])
    experiment = make_experiment(kind, folder, log_every=5, num_steps=11)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pretrain(experiment, whole, mesh=mesh)
    for at in (2, 7):
        first = max(saved_steps(broken), default=0)
        pretrain(experiment, broken, mesh=mesh, stop=stop_after(at - first))
        assert saved_steps(broken)[-1] == at
        assert f"stopped and saved at step {at}" in capsys.readouterr().err
    pretrain(experiment, broken, mesh=mesh)
    assert "going on from the checkpoint of step 7" in capsys.readouterr().err
    assert [line["step"] for line in losses(whole)] == [5, 6, 10, 11]
    check_same(broken, whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_on_another_mesh(folder, tmp_path, kind):
    """The same batches and, but for rounding, the same losses."""
    experiment = make_experiment(kind, folder, num_steps=9)
    whole, moved = tmp_path / "whole", tmp_path / "moved"
    pretrain(experiment, whole, mesh=training_mesh(1, jax.devices()[:1]))
    # No two in a row divide the weights alike.
    for fsdp, num_devices, steps in ((2, 4, 3), (1, 2, 3), (4, 4, 3)):
        mesh = training_mesh(fsdp, jax.devices()[:num_devices])
        pretrain(experiment, moved, mesh=mesh, stop=stop_after(steps))
    check_close(moved, whole)


def test_a_finished_run_is_left_as_it_is(folder, tmp_path):
    mesh = data_mesh(jax.devices()[:1])
    experiment = make_experiment("elmo", folder, num_steps=3)
    pretrain(experiment, tmp_path / "run", mesh=mesh)
    before = losses(tmp_path / "run")
    pretrain(experiment, tmp_path / "run", mesh=mesh)
    assert losses(tmp_path / "run") == before
    assert saved_steps(tmp_path / "run") == [3]


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_moments(start, whole_run, tmp_path, kind, num_devices):
    """Five kills each, so twenty in all; two of five are certain to be inside a save.

    One moment is counted from the start of the process, the others from a step.
    """
    rng = random.Random(f"{kind} {num_devices}")
    whole, broken = whole_run(kind, num_devices), tmp_path / "broken"
    cut_saves = 0
    moments = ["save", "step", "start", "step", "save"]
    for number, moment in enumerate(moments):
        process = start(kind, broken, num_devices)
        wanted = num_lines(broken) + rng.randint(1, 8)
        # A machine may be so fast that none of these kills comes after a whole save.
        must_be_saved = number == len(moments) - 1
        deadline = time.monotonic() + 300
        if moment == "start":
            time.sleep(rng.uniform(0, 8))
        while moment != "start" and process.poll() is None:
            is_saved = not must_be_saved or saved_steps(broken)
            if is_saved and num_lines(broken) >= wanted:
                if moment == "step":
                    time.sleep(rng.uniform(0, 0.1))
                    break
                if is_saving(broken):
                    break
            if time.monotonic() > deadline:
                break
            time.sleep(0.0005)
        process.kill()
        process.communicate()
        assert time.monotonic() < deadline
        assert process.returncode == -signal.SIGKILL
        cut_saves += is_saving(broken)
    assert cut_saves >= 2

    error = finish(start(kind, broken, num_devices))
    assert "going on from the checkpoint of step" in error
    assert not is_saving(broken)
    check_same(broken, whole)


@pytest.mark.slow
def test_sigterm_saves_and_says_so(start, whole_run, tmp_path):
    process = start("elmo", tmp_path, 1)
    while num_lines(tmp_path) < 4:
        assert process.poll() is None
        time.sleep(0.0005)
    process.terminate()
    error = finish(process, status=130)
    step = int(error.split("stopped and saved at step ")[1].split()[0])
    assert saved_steps(tmp_path)[-1] == step < NUM_STEPS
    finish(start("elmo", tmp_path, 1))
    check_same(tmp_path, whole_run("elmo", 1))
