# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json

import pytest

from tests.train.experiments import KINDS, make_experiment
from train.config import config_names, experiment_named, to_json
from train.from_plain import from_plain
from train.loop.optimizer import BertAdam


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_comes_back_out_of_its_json(name):
    experiment = experiment_named(name)
    held = json.loads(json.dumps(to_json(experiment)))
    assert held.pop("kind") == experiment.kind
    assert from_plain(type(experiment), held) == experiment


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_is_named(tmp_path, kind):
    experiment = make_experiment(kind, tmp_path, init_from=tmp_path)
    held = json.loads(json.dumps(to_json(experiment)))
    del held["kind"], held["keep_last"]
    # A field that came later has its default.
    assert from_plain(type(experiment), held) == experiment
    for path, value, message in (
        (("num_steps",), "many", "num_steps: 'many' is none of"),
        (("data", "source", "form"), "verse", "data.source.form: .verse. is none of"),
        (("optimizer", "type"), "Magic", "optimizer: .*Magic.* is none of"),
        (("data", "vocab_sise"), 3, 'data.vocab_sise: .*did you mean "vocab_size"'),
    ):
        other = json.loads(json.dumps(held))
        branch = other
        for name in path[:-1]:
            branch = branch[name]
        branch[path[-1]] = value
        with pytest.raises(ValueError, match=message):
            from_plain(type(experiment), other)


def test_a_whole_number_is_a_rate_too():
    adam = from_plain(BertAdam, dataclasses.asdict(BertAdam()) | {"learning_rate": 1})
    assert type(adam.learning_rate) is float
