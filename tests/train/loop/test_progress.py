# SPDX-License-Identifier: Apache-2.0
"""What a run tells while it goes on."""

import re

import numpy as np
import pytest

from embed_jax.devices.mesh import data_mesh
from tests.train.experiments import KINDS, make_experiment, one_device
from train.loop.log import Clock, Interval, RunLog, read_metrics
from train.loop.progress import Progress
from train.objectives.objective import Mean
from train.pretrain import pretrain


class Objective:
    """Counts how often it is asked for what takes long to tell."""

    batches = held_out = None
    epoch_steps = 4
    flops_per_batch = encoder_flops_per_batch = 1e6
    asked = 0

    @property
    def tokens_per_batch(self) -> float:
        self.asked += 1
        return 100.0

    def init_carry(self): ...

    def weights_of(self, batch): ...

    def rows_read(self, batch): ...

    def loss(self, params, carry, batch, weights, key): ...

    def measure(self, params): ...


def test_a_line_has_the_means_since_the_line_before_it():
    """Each mean by its own weight; what nothing was counted of is left out."""
    interval = Interval()
    for total, weight in ((6.0, 2.0), (0.0, 1.0)):
        interval.add({"loss": (total, weight), "pair_loss": (total, 0.0)})
    assert interval.take() == {"loss": 2.0}
    assert interval.take() == {}
    interval.add({"loss": (5.0, 1.0)})
    # A run that goes on begins with what its checkpoint holds.
    again = Interval(interval.sums)
    again.add({"loss": (1.0, 1.0)})
    assert (interval.take(), again.take()) == ({"loss": 5.0}, {"loss": 3.0})


def test_a_run_has_its_lines_by_kind_and_none_before_the_first(tmp_path):
    assert read_metrics(tmp_path, "train") == []
    log = RunLog(tmp_path, 0)
    log.write(1, {"loss": 2.0}, kind="train")
    log.write(1, {"loss": 3.0}, kind="held_out")
    log.close()
    assert read_metrics(tmp_path, "train") == [{"step": 1, "kind": "train", "loss": 2}]


def test_a_line_does_not_make_the_first_epoch_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.loop.progress.peak_flops", lambda devices: None)
    objective, log = Objective(), RunLog(tmp_path, 0)
    experiment = make_experiment("bert", tmp_path)
    progress = Progress(experiment, log, data_mesh(), {})
    progress.begin(objective, 0)
    before = objective.asked  # the check of annotations asks too
    for step in range(1, 6):
        progress.note(step, {"masked_loss": Mean(2.0, 1.0)}, 0.1)
    progress.settle()
    log.close()
    assert "tokens/s" in capsys.readouterr().err
    assert objective.asked == before


class Time:
    """A clock that goes on when it is told to."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_after_a_pause_the_time_of_the_steps_before_it_is_told(monkeypatch):
    time, clock = Time(), Clock()
    monkeypatch.setattr("train.loop.log.time", time)
    clock.tick()
    assert clock.seconds_a_step() is None
    for _ in range(3):
        time.now += 2
        clock.tick()
    clock.pause()
    time.now += 1000
    assert clock.seconds_a_step() == 2
    clock.tick()
    assert clock.seconds_a_step() == 2
    time.now += 3
    clock.tick()
    assert clock.seconds_a_step() == 3


@pytest.mark.parametrize("saved", [5, 6, 7])
def test_a_step_that_was_done_before_it_was_looked_at_gives_no_rate(
    tmp_path, monkeypatch, capsys, saved
):
    """Steps of 2 s whose metrics are there at once, looked at for a checkpoint too."""
    time = Time()
    monkeypatch.setattr("train.loop.log.time", time)
    monkeypatch.setattr("train.loop.progress.peak_flops", lambda devices: None)
    log = RunLog(tmp_path, 0)
    experiment = make_experiment("bert", tmp_path, log_every=1, num_steps=10)
    progress = Progress(experiment, log, data_mesh(), {})
    progress.begin(Objective(), 0)
    for step in range(1, 10):
        time.now += 2
        progress.note(step, {"masked_loss": Mean(2.0, 1.0)}, 0.1)
        if step in (4, saved):
            progress.settle()
            time.now += 1000
            progress.pause()
    progress.settle()
    log.close()
    said = capsys.readouterr().err
    assert set(re.findall(r"([\d,]+) tokens/s", said)) == {"50"}
    assert len(re.findall("tokens/s", said)) >= 8


@pytest.mark.parametrize("kind", KINDS)
def test_rates_and_time_left_leave_compilation_out(
    folder, tmp_path, monkeypatch, capsys, kind
):
    time, shapes = Time(), iter([1, 1, 1, 2, 1, 1, 3, 1])
    monkeypatch.setattr("train.loop.log.time", time)
    monkeypatch.setattr("train.loop.progress.peak_flops", lambda devices: None)
    seen = set()

    class Step:
        """Takes two seconds, and a thousand more for each shape that is new."""

        num_compiled = 0

        def __init__(self, step, state):
            pass

        def __call__(self, state, batch, say):
            shape = next(shapes)
            if shape not in seen:
                seen.add(shape)
                time.now += 1000
                self.num_compiled += 1
            time.now += 2
            return state, {"loss": Mean(np.float32(1), np.float32(1))}

    monkeypatch.setattr("train.pretrain.CompiledStep", Step)
    options = {"num_steps": 8, "eval_every": 0, "save_every": 100}
    experiment = make_experiment(kind, folder, **options)
    pretrain(experiment, tmp_path / "run", mesh=one_device())
    said = capsys.readouterr().err
    left = re.findall(r"step (\d) of 8 .* (\d+) s left", said)
    assert "min left" not in said
    assert dict(left) == {str(step): str(2 * (8 - step)) for step in range(2, 9)}
