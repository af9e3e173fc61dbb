# SPDX-License-Identifier: Apache-2.0
"""A run written when fields and items had other names goes on, bit for bit."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.train.experiments import (
    KINDS,
    check_same,
    make_experiment,
    one_device,
    stop_after,
)
from train.config import Pretraining, to_json
from train.former_names import with_current_names
from train.pretrain import pretrain
from train.recorded import recorded


def age(run: Path, former_names: Mapping[str, str]) -> None:
    """Give everything of a run the name that it had."""
    path = run / "experiment.json"
    current = {now: former for former, now in former_names.items()}
    aged = with_current_names(json.loads(path.read_text()), current)
    path.write_text(json.dumps(aged))
    (run / "checksums.json").unlink()
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
    age(aged, experiment.former_names)
    names = {"elmo": {"window", "restarts"}, "bert": {"longer_rows"}}[kind]
    assert (
        names | {"num_parts"}
        <= json.loads((aged / "experiment.json").read_text()).keys()
    )
    assert recorded(aged) == recorded(whole)
    pretrain(experiment, aged, mesh=one_device())
    check_same(aged, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_every_former_name_is_a_field_of_today(tmp_path, kind):
    experiment = make_experiment(kind, tmp_path)
    fields = to_json(experiment).keys()
    assert set(experiment.former_names.values()) <= fields
    assert not experiment.former_names.keys() & fields


def test_a_family_may_have_a_field_of_anothers_former_name():
    """A window of attention, say, is not the steps that an LSTM is unrolled."""
    settings = {"model": {"window": 128}, "num_parts": 2}
    current = {"model": {"window": 128}, "grad_accum_steps": 2}
    assert with_current_names(settings, Pretraining.former_names) == current
