# SPDX-License-Identifier: Apache-2.0
"""A run whose last steps read longer rows."""

import dataclasses
import json

import jax
import pytest

from tests.train.experiments import (
    check_same,
    losses,
    make_experiment,
    one_device,
    stop_after,
)
from train.data.loader import load_batches
from train.families.bert.config import LongPhase
from train.loop.optimizer import Adagrad, BertAdam, Lamb, warm_up_and_decay
from train.loop.phases import check_shared, make_phased_optimizer
from train.loop.sharding import training_mesh
from train.pretrain import pretrain

LONGER = LongPhase(num_steps=5, length=30, batch_size=4, grad_accum_steps=2)


def make(folder, longer=LONGER, optimizer=None):
    experiment = make_experiment("bert", folder, long_phase=longer)
    if optimizer is None:
        return experiment
    return dataclasses.replace(experiment, optimizer=optimizer)


def test_a_run_is_divided(tmp_path):
    experiment = make(tmp_path)
    short, long = experiment.phases()
    assert (short.first, short.last, long.first, long.last) == (0, 7, 7, 12)
    assert short.experiment.objective.length == 24
    assert long.experiment.objective.length == 30
    assert (long.experiment.batch_size, long.experiment.grad_accum_steps) == (4, 2)
    assert long.experiment.model == experiment.model
    alone = make_experiment("elmo", tmp_path)
    assert alone.phases() == [(0, 12, alone, None)]


def test_without_a_rate_of_their_own_they_go_on_with_the_runs(tmp_path):
    _, rate = make_phased_optimizer(make(tmp_path))
    whole = warm_up_and_decay(1e-2, 2, 12)
    assert [float(rate(step)) for step in range(12)] == [
        float(whole(step)) for step in range(12)
    ]


def test_with_a_rate_of_their_own_they_warm_up_again(tmp_path):
    longer = dataclasses.replace(LONGER, learning_rate=3e-3, warmup_steps=2)
    optimizer = Lamb(learning_rate=6e-3, warmup_steps=3)
    _, rate = make_phased_optimizer(make(tmp_path, longer, optimizer))
    first, second = warm_up_and_decay(6e-3, 3, 7), warm_up_and_decay(3e-3, 2, 5)
    expected = [first(step) for step in range(7)] + [second(step) for step in range(5)]
    assert [float(rate(step)) for step in range(12)] == pytest.approx(
        [float(one) for one in expected]
    )
    assert float(rate(7)) == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 12}, "long_phase.num_steps 12"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"length": 33}, "long_phase.length 33 is above model.max_positions 32"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path, dataclasses.replace(LONGER, **changes))


def test_the_longest_rows_and_phases_that_can_be(tmp_path):
    longest = dataclasses.replace(LONGER, num_steps=11, length=32)
    short, long = make(tmp_path, longest).phases()
    assert (short.last, long.last) == (1, 12)
    assert long.experiment.objective.length == 32


def test_the_rate_of_the_phase_that_diverged_is_to_be_lowered(folder, tmp_path):
    """The weights after its last step are still of the first phase."""
    longer = dataclasses.replace(LONGER, num_steps=11, learning_rate=1e-3)
    experiment = make(folder, longer, BertAdam(learning_rate=3e38, warmup_steps=0))
    experiment = dataclasses.replace(experiment, save_every=1)
    with pytest.raises(ValueError, match=r"after step 1, .*--optimizer\.learning-rate"):
        pretrain(experiment, tmp_path / "run", mesh=one_device())


def test_adagrad_has_no_rate_for_the_long_phase(tmp_path):
    longer = dataclasses.replace(LONGER, learning_rate=1e-3)
    with pytest.raises(ValueError, match="Adagrad has none"):
        make(tmp_path, longer, Adagrad())
    make(tmp_path, LONGER, Adagrad())


@pytest.mark.parametrize(
    ("grad_accum_steps", "shared"), [(1, True), (2, True), (4, False)]
)
def test_every_device_has_a_row_of_every_part(tmp_path, grad_accum_steps, shared):
    """Eight rows on four devices are two parts at most."""
    experiment = make_experiment(
        "elmo", tmp_path, batch_size=8, grad_accum_steps=grad_accum_steps
    )
    mesh = training_mesh(1, jax.devices()[:4])
    if shared:
        check_shared(experiment, mesh)
    else:
        with pytest.raises(
            ValueError, match="not a multiple of 4 devices times grad_accum"
        ):
            check_shared(experiment, mesh)


def test_the_batch_size_that_devices_cannot_share_is_named(folder, tmp_path):
    mesh = training_mesh(1, jax.devices()[:8])
    message = r"^long_phase\.batch_size 4 is not a multiple of 8 devices times long_ph"
    with pytest.raises(ValueError, match=message):
        pretrain(make(folder), tmp_path / "run", mesh=mesh)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_devices_cannot_share_is_refused_before_the_first_step(
    folder, tmp_path
):
    odd = dataclasses.replace(LONGER, batch_size=3)
    with pytest.raises(ValueError, match="batch_size 3 is not a multiple"):
        pretrain(make(folder, odd), tmp_path / "run", mesh=one_device())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_it_goes_on_within_and_between_phases(folder, tmp_path, capsys, monkeypatch):
    """Stopped in the first phase, at its end and in the second: the same to the bit."""
    read = []

    def noting(batches, first, last, num_threads):
        read.append((batches[0].rows.ids.shape, first, last))
        return load_batches(batches, first, last, num_threads)

    monkeypatch.setattr("train.pretrain.load_batches", noting)
    longer = dataclasses.replace(LONGER, learning_rate=3e-3, warmup_steps=2)
    experiment = make(folder, longer, Lamb(learning_rate=6e-3, warmup_steps=3))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pretrain(experiment, whole, mesh=one_device())
    at = 0
    for step in (4, 7, 9):
        pretrain(experiment, broken, mesh=one_device(), stop=stop_after(step - at))
        assert f"stopped and saved at step {step}" in capsys.readouterr().err
        at = step
    pretrain(experiment, broken, mesh=one_device())
    check_same(broken, whole)
    steps = [line["step"] for line in losses(whole) if line["kind"] == "train"]
    assert steps == list(range(1, 13))
    # The second phase reads batches of its own, from the first one on.
    short, long = (8, 24), (4, 30)
    assert read == [
        *[(short, 0, 7), (long, 0, 5)],
        *[(short, 0, 7), (short, 4, 7), (long, 0, 5), (long, 2, 5)],
    ]
    written = json.loads((whole / "experiment.json").read_text())
    assert written["long_phase"]["length"] == 30


def test_published_configurations_have_both_phases():
    from configs import bert_base, bert_large_lamb

    short, long = bert_base.config().phases()
    assert (short.last, long.last - long.first) == (900_000, 100_000)
    assert long.experiment.objective.length == 512
    assert isinstance(bert_base.config().optimizer, BertAdam)
    assert len(bert_large_lamb.config().phases()) == 2
    assert isinstance(bert_large_lamb.config().optimizer, Lamb)
