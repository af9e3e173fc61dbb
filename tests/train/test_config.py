# SPDX-License-Identifier: Apache-2.0
import copy
import dataclasses
import functools
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import configs
from elmo_jax.config import CharCnnConfig
from tests.train.experiments import KINDS, make_experiment
from train import evaluate, export, prepare, pretrain, quickstart
from train.config import (
    NoOptions,
    Pretraining,
    check_same,
    config_names,
    experiment_named,
    read_command,
    to_json,
)
from train.families.bert.config import MaskedLmPretraining
from train.loop.optimizer import make_optimizer


def read(*arguments: str, options=NoOptions):
    return read_command(list(arguments), "prog", options, "What it does.")


@pytest.mark.parametrize("name", config_names())
def test_every_experiment_can_be_built_and_says_what_came_of_it(name):
    experiment = experiment_named(name)
    kind, _, _ = name.partition("_")
    assert experiment.kind == kind
    make_optimizer(experiment.optimizer, experiment.num_steps)
    record = importlib.import_module(f"configs.{name}").__doc__
    headings = ("Command:", "Hardware:", "Time:", "Score:")
    places = [record.index(f"\n{heading}") for heading in headings]
    assert places == sorted(places)
    command = " ".join(record[places[0] : places[1]].split())
    assert f"python -m train.prepare {name} && python -m train.pretrain {name}" in (
        command
    )
    json.dumps(to_json(experiment))


def test_fields_are_changed_on_the_command_line():
    _, experiment = read(
        "elmo_tiny",
        *("--num-steps", "9", "--model.cell-dim", "64", "--no-reset-state"),
        *("--model.char-cnn.max-characters", "20", "--data.directory", "some/where"),
        *("--optimizer.warmup-steps", "3", "--init-from", "models/x"),
    )
    before = experiment_named("elmo_tiny")
    assert experiment == dataclasses.replace(
        before,
        num_steps=9,
        reset_state=False,
        init_from=Path("models/x"),
        model=dataclasses.replace(
            before.model,
            cell_dim=64,
            char_cnn=dataclasses.replace(before.model.char_cnn, max_characters=20),
        ),
        data=dataclasses.replace(before.data, directory=Path("some/where")),
        optimizer=dataclasses.replace(before.optimizer, warmup_steps=3),
    )
    assert isinstance(experiment.model.char_cnn, CharCnnConfig)
    _, experiment = read("bert_tiny", "--objective.pairs", "none")
    assert isinstance(experiment, MaskedLmPretraining)
    assert experiment.objective.pairs == "none"


def test_options_of_a_command_stand_beside_the_fields():
    options, experiment = read(
        "elmo_tiny", "--workdir", "runs/a", "--seed", "5", options=pretrain.Options
    )
    assert options.workdir == Path("runs/a")
    assert experiment.seed == 5


def test_a_wrong_field_is_refused_with_the_right_one(capsys):
    with pytest.raises(SystemExit, match="2"):
        read("elmo_tiny", "--num-step", "9")
    assert "--num-steps" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        read("bert_tiny", "--model.layer-dims", "9")
    assert "--model.layer-dim" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        read("elmo_tiny", "--num-steps", "many")
    assert "many" in capsys.readouterr().err


def test_a_wrong_experiment_is_refused_with_the_right_one():
    with pytest.raises(ValueError, match=r"no experiment 'elmo_tony'.*elmo_tiny"):
        read("elmo_tony")
    with pytest.raises(SystemExit, match="2"):
        read()


@dataclasses.dataclass(frozen=True)
class Tasting:
    """What some other command would be told."""

    spoons: int = 3


@pytest.fixture
def with_tasting(tmp_path, monkeypatch):
    """A configuration of another kind stands in configs/."""
    source = (
        "from tests.train.test_config import Tasting\n"
        "def config() -> Tasting:\n    return Tasting(spoons=4)\n"
    )
    (tmp_path / "soup_tasting.py").write_text(source)
    paths = [*configs.__path__, str(tmp_path)]
    monkeypatch.setattr(configs, "__path__", paths)
    monkeypatch.setitem(sys.modules, "tests.train.test_config", sys.modules[__name__])
    yield
    sys.modules.pop("configs.soup_tasting", None)


def test_each_command_takes_configurations_of_its_own_kind(with_tasting, capsys):
    def read_tasting(*arguments):
        return read_command(list(arguments), "prog", NoOptions, "It.", kind=Tasting)

    assert config_names(Tasting) == ["soup_tasting"]
    assert "soup_tasting" not in config_names()
    assert {"soup_tasting", "elmo_tiny"} <= set(config_names((Tasting, Pretraining)))
    assert read_tasting("soup_tasting", "--spoons", "5")[1] == Tasting(spoons=5)
    with pytest.raises(ValueError, match=r"soup_tasting.py is for another command"):
        read("soup_tasting")
    with pytest.raises(ValueError, match=r"elmo_tiny.py is.*experiments: soup_tasting"):
        read_tasting("elmo_tiny")
    with pytest.raises(SystemExit, match="0"):
        read_tasting("--help")
    assert "CONFIG is one of soup_tasting.\n" in capsys.readouterr().out


def test_a_wrong_experiment_is_one_line(capsys):
    assert prepare.main(["bert_tinny"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.prepare: no experiment 'bert_tinny'")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"num_steps": 0}, "num_steps"),
        (
            {"grad_accum_steps": 3},
            "batch_size 8 is not a multiple of grad_accum_steps 3",
        ),
        ({"save_every": 0}, "save_every"),
        ({"log_every": 0}, "log_every"),
        ({"eval_every": -1}, "eval_every must be at least 0"),
    ],
)
def test_values_that_no_run_could_have(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        make_experiment("elmo", tmp_path, **change)


def test_classes_that_pretraining_has_no_head_for(tmp_path):
    experiment = make_experiment("bert", tmp_path)
    model = dataclasses.replace(experiment.model, labels=("yes", "no"))
    with pytest.raises(ValueError, match=r"model.labels \('yes', 'no'\) have no head"):
        dataclasses.replace(experiment, model=model)


def test_a_row_longer_than_the_model_reads(tmp_path):
    experiment = make_experiment("bert", tmp_path)
    data = dataclasses.replace(experiment.objective, length=33)
    with pytest.raises(ValueError, match=r"objective.length 33 is above model.max_pos"):
        dataclasses.replace(experiment, objective=data)


# What a run may be gone on with otherwise, and makes the same numbers.
FREE = {
    *("log_every", "eval_every", "eval_batches", "save_every", "keep_last"),
    *("num_threads", "data.num_workers", "data.source_directory"),
}


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the names on the way to each value of a JSON object."""
    if not isinstance(tree, dict):
        yield path
        return
    for name, below in tree.items():
        yield from leaves(below, (*path, name))


@pytest.mark.parametrize("kind", KINDS)
def test_going_on_with_another_value_is_refused_but_of_eight_fields(tmp_path, kind):
    experiment = make_experiment(kind, tmp_path)
    path = tmp_path / "experiment.json"
    written = json.loads(json.dumps(to_json(experiment)))
    assert {field.name for field in dataclasses.fields(experiment)} <= set(written)
    accepted = set()
    for names in leaves(written):
        other = copy.deepcopy(written)
        branch = functools.reduce(dict.__getitem__, names[:-1], other)
        value, branch[names[-1]] = branch[names[-1]], "another"
        path.write_text(json.dumps(other))
        name = ".".join(names)
        refusal = None
        try:
            check_same(experiment, tmp_path)
        except ValueError as error:
            refusal = str(error)
        if refusal is None:
            accepted.add(name)
        else:
            message = f"configuration: {name} is {value!r} and was 'another'. Give"
            assert message in refusal
    assert accepted == FREE


def test_going_on_without_a_field_that_the_run_had_is_refused(tmp_path):
    experiment = make_experiment("bert", tmp_path)
    path = tmp_path / "experiment.json"
    written = to_json(experiment) | {"long_phase": {"num_steps": 3}}
    path.write_text(json.dumps(written))
    with pytest.raises(ValueError, match=r"long_phase.num_steps is None and was 3"):
        check_same(experiment, tmp_path)


COMMANDS = {
    prepare: ["CONFIG is one of", "elmo_tiny", "--help"],
    pretrain: ["CONFIG is one of", "bert_base", "goes on when the same command"],
    evaluate: ["RUN_OR_MODEL", "--data", "--reset-state", "perplexity"],
    export: ["RUN", "MODEL", "--step", "--latest", "--overwrite"],
    quickstart: ["--directory", "--steps", "tiny ELMo"],
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda module: module.__name__)
def test_help_is_worth_reading(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    text = capsys.readouterr().out
    for word in COMMANDS[command]:
        assert word in text


@pytest.mark.parametrize("command", [prepare, pretrain], ids=["prepare", "pretrain"])
def test_help_of_an_experiment_lists_its_fields(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        command.main(["elmo_original", "--help"])
    text = capsys.readouterr().out
    wanted = ["--model.projection-dim", "--optimizer.loss-factor", "793471", "39.7"]
    if command is pretrain:
        wanted += ["--workdir RUN", "steps between two checkpoints"]
    for word in wanted:
        assert word in text
