# SPDX-License-Identifier: Apache-2.0
"""What a run tells while it goes on."""

import math

from embed_jax.devices.mesh import data_mesh
from tests.train.experiments import make_experiment
from train.loop.log import Interval, RunLog, read_metrics
from train.loop.progress import Progress
from train.objectives.objective import Mean


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
    """Each mean by its own weight; what nothing was counted of is no number."""
    interval = Interval()
    for total, weight in ((6.0, 2.0), (0.0, 1.0)):
        interval.add({"loss": (total, weight), "pair_loss": (total, 0.0)})
    means = interval.take()
    assert means["loss"] == 2.0
    assert math.isnan(means["pair_loss"])
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
