# SPDX-License-Identifier: Apache-2.0
"""What the loop of `train.pretrain` writes, and when; its steps are not computed."""

import dataclasses
import math
import shutil

import pytest

from tests.options.observed_commands import PACKAGES, Trained
from tests.options.observed_run import Corpora, Pretraining, Run, small
from tests.train.experiments import KINDS, make_experiment
from train.loop.setup import set_up
from train.pretrain import main


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Corpora:
    return Corpora(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def pretraining(corpora) -> Pretraining:
    return Pretraining(corpora)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


def call(run: Run, config: str, *given: str) -> Run:
    run.call(main, [config, "--workdir", "run", *small(config), *given])
    return run


def test_going_on_under_another_seed_is_refused(corpora) -> None:
    run = Run(corpora.directory_for("elmo_tiny"))
    assert call(run, "elmo_tiny").status == 0
    assert call(run, "elmo_tiny", "--log-every", "2").status == 0
    assert call(run, "elmo_tiny", "--seed", "1").status == 2
    assert "configuration: seed is 1 and was 0. Give" in run.error


@pytest.mark.parametrize("config", ["elmo_tiny", "bert_tiny"])
def test_the_seed_changes_nothing_of_what_is_measured(pretraining, config) -> None:
    one, other = (pretraining.observe(config, ["--seed", n]) for n in "01")
    assert one["batches"] != other["batches"]
    assert one["held_out"] == other["held_out"]


def test_a_line_has_the_learning_rate_that_made_its_step(pretraining) -> None:
    """Half, warmed up in two of four steps: 0, 1/2, then 1 - 2/4 and 1 - 3/4 of it."""
    seen = pretraining.observe("bert_tiny", ["--optimizer.warmup-steps", "2"])
    assert seen["logged"] == [1, 2, 3, 4]
    assert seen["rates"] == [0.0, 0.25, 0.25, 0.125]


def test_the_last_step_is_measured_and_saved_whatever_its_number(pretraining) -> None:
    given = "--num-steps 5 --eval-every 2 --save-every 100".split()
    seen = pretraining.observe("elmo_tiny", given)
    assert (seen["measured"], seen["saved"]) == ([2, 4, 5], [2, 4, 5])


@pytest.mark.parametrize(("loss", "name"), [(math.inf, "inf"), (math.nan, "nan")])
def test_a_step_whose_loss_is_no_number_is_not_saved(corpora, loss, name) -> None:
    run = Run(corpora.directory_for("elmo_tiny"))
    run.losses = {3: loss}
    call(run, "elmo_tiny", *"--save-every 1 --eval-every 0".split())
    assert run.status == 2
    assert f"loss is {name} at step 3" in run.error
    assert run.saved == [1, 2]
    assert [line["step"] for line in run.lines("train")] == [1, 2]


def test_a_run_is_measured_at_15_percent_whatever_it_was_trained_at(trained) -> None:
    """The configuration hides 20 % in training; the exported model knows of none."""
    alike = "--pairs nsp --length 24 --packed --batch-size 8 --batches 1".split()
    model = trained.observe_evaluate("bert", "exported", alike)
    run = trained.observe_evaluate("bert", "run", ["--batch-size", "8"])
    assert run["batches"] == model["batches"]


@pytest.mark.parametrize(
    ("kind", "heads"), [("elmo", {"softmax"}), ("bert", {"mlm", "nsp", "pooler"})]
)
def test_the_encoder_of_a_run_is_loaded_with_heads_or_without(
    trained, kind, heads
) -> None:
    path = trained.path(kind) / "run"
    params, _ = PACKAGES[kind].load(path, encoder_only=False)
    assert set(params.heads) == heads
    bare, _ = PACKAGES[kind].load(path, encoder_only=True)
    assert not bare.heads
    assert set(bare.encoder) == set(params.encoder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_never_measures_needs_no_held_out_text(kind, folder, tmp_path):
    experiment = make_experiment(kind, folder)
    directory = tmp_path / "data"
    shutil.copytree(experiment.data.directory, directory)
    shutil.rmtree(directory / "held_out")
    data = dataclasses.replace(experiment.data, directory=directory)
    measured = dataclasses.replace(experiment, data=data)
    with pytest.raises(ValueError, match="held_out: no such store"):
        set_up(measured)
    (objective,) = set_up(dataclasses.replace(measured, eval_every=0)).objectives
    assert objective.held_out is None
