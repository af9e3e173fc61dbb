# SPDX-License-Identifier: Apache-2.0
"""Going on in a late epoch plans that epoch, and none of those before it."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from tests.train.experiments import (
    check_same,
    copy_until,
    make_experiment,
    one_device,
)
from train.data.encoding import TRAIN
from train.families.bert.batches import MaskedLmBatches, MaskedLmConfig
from train.families.bert.config import LongPhase, MaskedLmPretraining
from train.families.bert.pieces import PieceStore
from train.loop.progress import resume_epoch
from train.pretrain import pretrain

PLANNERS = {
    "elmo": "train.families.elmo.batches.lay_out",
    "bert": "train.families.bert.batches.cut",
}
# An epoch has four batches.
SHORT = {"num_steps": 17, "eval_every": 17, "save_every": 16, "eval_batches": 1}
LARGE = {
    "elmo": {"batch_size": 160},
    "bert": {"batch_size": 64},
}


@pytest.fixture
def planned(monkeypatch) -> list[str]:
    """A list of the plans that are made."""
    made: list[str] = []

    def count(place: str) -> None:
        module, name = place.rsplit(".", 1)
        function = getattr(__import__(module, fromlist=[name]), name)

        def counted(*arguments, **options):
            made.append(place)
            return function(*arguments, **options)

        monkeypatch.setattr(place, counted)

    for place in PLANNERS.values():
        count(place)
    return made


def experiments(folder):
    yield "elmo", make_experiment("elmo", folder, **SHORT | LARGE["elmo"])
    bert = make_experiment("bert", folder, **SHORT | LARGE["bert"])
    assert isinstance(bert, MaskedLmPretraining)
    yield "bert", bert
    long = LongPhase(num_steps=16, length=32, batch_size=64)
    yield "bert", dataclasses.replace(bert, long_phase=long)


@pytest.mark.parametrize("which", range(3), ids=["elmo", "bert", "two-phases"])
def test_a_run_that_goes_on_plans_one_epoch(folder, tmp_path, planned, which):
    kind, experiment = list(experiments(folder))[which]
    run, whole = tmp_path / "run", tmp_path / "whole"
    pretrain(experiment, whole, mesh=one_device())
    assert planned.count(PLANNERS[kind]) > 4
    copy_until(whole, run, 16)
    planned.clear()
    pretrain(experiment, run, mesh=one_device())
    # One of training and, for each phase, one of held-out text; where annotations are
    # checked, as here, Python 3.11 asks for all properties of an objective, and so for
    # the first epoch too.
    assert planned.count(PLANNERS[kind]) <= 2 + len(experiment.phases())
    check_same(run, whole)


@pytest.mark.parametrize("pairs", ["nsp", "sop", "none"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_batch_is_found_by_one_plan(folder, planned, pairs, packed):
    """Wherever a run goes on, and as a checkpoint of earlier code, by counting."""

    def batches() -> MaskedLmBatches:
        store = PieceStore.open(folder / "pieces" / TRAIN)
        config = MaskedLmConfig(pairs=pairs, length=24, packed=packed)
        return MaskedLmBatches(store, config, batch_size=64, seed=3)

    whole = batches()
    first = 10
    for number in range(8):
        position: dict[str, Any] = {"step": first + number}
        if number:
            whole[number - 1]
            found = whole.epochs.whereabouts(number)
            position["epoch"] = {"phase": first, **found}
        ours, counted = batches(), batches()
        resume_epoch(ours, first + number, first, position)
        resume_epoch(counted, first + number, first, {"step": first + number})
        planned.clear()
        jax.tree.map(np.testing.assert_array_equal, ours[number], whole[number])
        assert len(planned) <= 2  # one of them of `whole`, where its epoch is new
        jax.tree.map(np.testing.assert_array_equal, counted[number], whole[number])
    assert len(planned) > 2
