# SPDX-License-Identifier: Apache-2.0
"""A run goes on by its name alone, and a finished one in the way its message says."""

import re
import shlex

import jax
import numpy as np
import pytest

from bert_jax.run import load_run
from embed_jax.files.run_directory import (
    EXPERIMENT,
    read_experiment,
    read_weights,
    saved_steps,
)
from embed_jax.files.weights_checksum import checksum_weights
from tests.train.experiments import (
    KINDS,
    check_same,
    losses,
    make_experiment,
    one_device,
    stop_after,
)
from train.pretrain import main, pretrain
from train.recorded import recorded

SHORT = {"num_steps": 3, "eval_every": 3, "save_every": 5, "eval_batches": 1}


@pytest.fixture
def on_one_device(monkeypatch, sigterm_as_before):
    monkeypatch.setattr("train.pretrain.training_mesh", lambda fsdp: one_device())
    monkeypatch.setattr("train.pretrain.keep_compilations", lambda: None)


def train(experiment, run, **options):
    return pretrain(experiment, run, mesh=one_device(), **options)


@pytest.mark.usefixtures("on_one_device")
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_by_its_name_and_says_how_to_train_on(
    folder, tmp_path, capsys, kind
):
    experiment = make_experiment(kind, folder, **SHORT)
    run = tmp_path / "run"
    train(experiment, run, stop=stop_after(1))
    assert recorded(run) == experiment
    assert main(["--workdir", str(run), "--log-every", "1"]) == 0
    said = capsys.readouterr().err
    assert "going on from the checkpoint of step 1" in said
    told = r"compiling the training step …\ncompiled in \d+\.\d s\nmemory a device"
    assert len(re.findall(told, said)) == 2  # here both runs are in one process
    train(experiment, tmp_path / "whole")
    check_same(run, tmp_path / "whole")

    assert main(["--workdir", str(run)]) == 0
    said = capsys.readouterr().err
    assert "it was the last one; " in said
    _, _, command = said.partition(": python -m train.pretrain ")
    given = shlex.split(command.splitlines()[0])
    if kind == "elmo":  # whose rate is constant: no step is another one
        assert given == ["--workdir", str(run), "--num-steps", "6"]
    else:
        assert given == [
            *("--init-from", str(run), "--workdir", f"{run}-2", "--num-steps", "3")
        ]
        assert main(given) == 0
        begun = read_experiment(tmp_path / "run-2")
        assert begun["init_from"] == str(run)
        learnt, _ = load_run(run, encoder_only=False)
        assert begun["first_weights"] == checksum_weights(learnt)


@pytest.mark.usefixtures("on_one_device")
def test_a_run_of_constant_rate_is_lengthened_and_is_a_longer_one(
    folder, tmp_path, capsys
):
    short = make_experiment("elmo", folder, **SHORT)
    run, whole = tmp_path / "run", tmp_path / "whole"
    train(short, run)
    assert main(["--workdir", str(run), "--num-steps", "5"]) == 0
    assert read_experiment(run)["num_steps"] == 5  # and its checksum fits
    assert '"form": 1' in (run / EXPERIMENT).read_text()
    assert saved_steps(run)[-1] == 5
    train(make_experiment("elmo", folder, **SHORT | {"num_steps": 5}), whole)
    assert losses(run) == losses(whole)
    jax.tree.map(
        np.testing.assert_array_equal, read_weights(run)[0], read_weights(whole)[0]
    )
    # Not shortened: what it was begun with holds again.
    assert main(["--workdir", str(run), "--num-steps", "4"]) == 2
    assert "num_steps is 4 and was 5" in capsys.readouterr().err


@pytest.mark.usefixtures("on_one_device")
@pytest.mark.parametrize("kind", KINDS)
def test_another_rate_is_answered_with_the_command_for_it(
    folder, tmp_path, capsys, kind
):
    run = tmp_path / "run"
    train(make_experiment(kind, folder, **SHORT), run, stop=stop_after(1))
    line = ["--workdir", str(run), "--optimizer.learning-rate", "0.25"]
    assert main([*line, "--seed", "3"]) == 2
    assert (
        f"from its weights a new run begins by: python -m train.pretrain --init-from "
        f"{run} --workdir {run}-2 --optimizer.learning-rate 0.25 --seed 3"
    ) in capsys.readouterr().err
    # Weights of another shape are none to begin from.
    assert main([*line, "--model.num-blocks", "5"]) == 2
    assert "--init-from" not in capsys.readouterr().err


@pytest.mark.usefixtures("on_one_device")
def test_without_a_run_a_configuration_is_asked_for(tmp_path, capsys):
    assert main(["--workdir", str(tmp_path / "run")]) == 2
    assert "run is no run yet; to begin one, name a conf" in capsys.readouterr().err
    assert main(["--seed", "3"]) == 2
    assert "no --workdir is given; to begin" in capsys.readouterr().err
