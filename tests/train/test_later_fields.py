# SPDX-License-Identifier: Apache-2.0
"""A field that came later means, in an older run, what was done before it came."""

import dataclasses
import json
from typing import Any

import pytest

from embed_jax.files.run_directory import EXPERIMENT
from tests.train.experiments import make_experiment
from train.config import check_same, to_json
from train.families.bert.config import MaskedLmPretraining
from train.loop.optimizer import BertAdam, Optimizer
from train.recorded import as_begun, recorded


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaterAdam(BertAdam):
    """An optimiser with a field that older runs meant otherwise, and another."""

    is_new: bool = dataclasses.field(default=True, metadata={"formerly": False})
    power: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaterPretraining(MaskedLmPretraining):
    optimizer: LaterAdam | Optimizer = dataclasses.field(default_factory=LaterAdam)


@pytest.fixture
def older(tmp_path):
    """A configuration of today, and the record of a run without its new fields."""
    experiment = make_experiment("bert", tmp_path)
    fields: dict[str, Any] = {
        field.name: getattr(experiment, field.name)
        for field in dataclasses.fields(experiment)
    }
    fields["optimizer"] = LaterAdam()
    experiment = LaterPretraining(**fields)
    held = json.loads(json.dumps(to_json(experiment)))
    del held["optimizer"]["is_new"], held["optimizer"]["power"]
    (tmp_path / EXPERIMENT).write_text(json.dumps(held))
    return experiment, tmp_path


def test_an_older_run_is_read_with_what_it_was_made_with(older):
    experiment, run = older
    assert experiment.optimizer == LaterAdam(is_new=True)
    wanted = dataclasses.replace(experiment, optimizer=LaterAdam(is_new=False))
    assert recorded(run) == wanted


def test_the_same_command_goes_on_with_an_older_run_as_it_was(older):
    experiment, run = older
    with pytest.raises(ValueError, match=r"optimizer\.is_new is True and was False"):
        check_same(experiment, run)
    as_it_was = as_begun(experiment, run)
    assert as_it_was == recorded(run)
    check_same(as_it_was, run)
    other = dataclasses.replace(experiment, optimizer=LaterAdam(power=0.5))
    with pytest.raises(
        ValueError, match=r"configuration: optimizer\.power is 0\.5 and was 1\.0\. G"
    ):
        check_same(as_begun(other, run), run)


def test_a_run_of_today_keeps_what_it_says(older):
    experiment, run = older
    (run / EXPERIMENT).write_text(json.dumps(to_json(experiment)))
    assert as_begun(experiment, run) == experiment == recorded(run)
    assert as_begun(experiment, run / "not_there_yet") is experiment
