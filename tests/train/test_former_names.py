# SPDX-License-Identifier: Apache-2.0
"""A run written when fields and items had other names goes on, bit for bit."""

import json
from pathlib import Path

import pytest

from tests.train.experiments import (
    KINDS,
    check_same,
    make_experiment,
    one_device,
    stop_after,
)
from train.config import to_json
from train.families.evaluation import settings_of
from train.former_names import FORMER_NAMES, with_current_names
from train.pretrain import pretrain

CURRENT_NAMES = {current: former for former, current in FORMER_NAMES.items()}


def with_former_names(settings):
    if not isinstance(settings, dict):
        return settings
    return {
        CURRENT_NAMES.get(name, name): with_former_names(value)
        for name, value in settings.items()
    }


def age(run: Path) -> None:
    """Give everything of a run the name that it had."""
    path = run / "experiment.json"
    path.write_text(json.dumps(with_former_names(json.loads(path.read_text()))))
    for checkpoint in (run / "checkpoints").iterdir():
        (checkpoint / "opt_state").rename(checkpoint / "moments")
        metadata = checkpoint / "_CHECKPOINT_METADATA"
        metadata.write_text(metadata.read_text().replace('"opt_state"', '"moments"'))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_under_former_names_goes_on(folder, tmp_path, kind):
    experiment = make_experiment(kind, folder, num_steps=6)
    whole, aged = tmp_path / "whole", tmp_path / "aged"
    pretrain(experiment, whole, mesh=one_device())
    pretrain(experiment, aged, mesh=one_device(), stop=stop_after(3))
    age(aged)
    names = {"elmo": {"window", "restarts"}, "bert": {"longer_rows"}}[kind]
    assert (
        names | {"num_parts"}
        <= json.loads((aged / "experiment.json").read_text()).keys()
    )
    assert settings_of(aged) == settings_of(whole)
    pretrain(experiment, aged, mesh=one_device())
    check_same(aged, whole)


def test_every_former_name_is_a_field_of_today(tmp_path):
    fields = {
        name for kind in KINDS for name in to_json(make_experiment(kind, tmp_path))
    }
    assert set(FORMER_NAMES.values()) <= fields
    assert not FORMER_NAMES.keys() & fields
    assert with_current_names({"a": {"window": [1]}}) == {"a": {"unroll_steps": [1]}}
