# SPDX-License-Identifier: Apache-2.0
"""Runs and stores of earlier code go on, are evaluated and exported by this code."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import embed_jax
from embed_jax.__main__ import main as embed
from embed_jax.files.run_directory import CHECKPOINTS, saved_steps
from embed_jax.store import VectorStore
from tests.fixtures.regenerate_runs_of_2026_11 import EXPERIMENTS, WHOLE
from tests.train.experiments import losses, one_device
from train.evaluate import main as evaluate
from train.export import main as export
from train.pretrain import main, pretrain

FIXTURE = Path(__file__).parent.parent / "fixtures/runs_of_2026_11"
DATA = {"elmo": "words", "bert": "pieces"}
RUNS = tuple(EXPERIMENTS)
# Processors differ in the last bits of a product.
CLOSE = 1e-6


@pytest.fixture
def then(tmp_path) -> Path:
    """The folder of the fixture, at a place of its own."""
    return shutil.copytree(FIXTURE, tmp_path / "then")


@pytest.fixture(autouse=True)
def on_one_device(monkeypatch, sigterm_as_before):
    monkeypatch.setattr("train.pretrain.training_mesh", lambda fsdp: one_device())
    for module in ("train.pretrain", "train.evaluate", "embed_jax.__main__"):
        monkeypatch.setattr(f"{module}.keep_compilations", lambda: None)


def data_of(name: str) -> str:
    return DATA[name.removesuffix("_from")]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_went_on(run: Path, whole: Path) -> None:
    """The losses of every step are those of a run that earlier code made whole."""
    ours = [line for line in losses(run) if line["kind"] == "train"]
    theirs = [line for line in lines_of(whole) if line["kind"] == "train"]
    assert [line["step"] for line in ours] == list(range(1, WHOLE + 1))
    named = [name for name in theirs[0] if name.endswith("loss")]
    assert named
    for one, other in zip(ours, theirs, strict=True):
        for name in named:
            assert math.isclose(one[name], other[name], rel_tol=CLOSE), (one, other)
    measured = [line for line in losses(run) if line["kind"] == "held_out"]
    assert [line["step"] for line in measured] == [2, 4, 6]
    assert saved_steps(run)[-1] == WHOLE


def forget_after(run: Path, step: int) -> None:
    """Leave a run as if it had been killed at its checkpoint of a step."""
    for later in saved_steps(run):
        if later > step:
            shutil.rmtree(run / CHECKPOINTS / str(later))


@pytest.mark.parametrize("name", RUNS)
def test_an_earlier_run_goes_on_by_its_name(then, monkeypatch, name):
    """Its data were moved, and named otherwise; the model it began from is gone."""
    monkeypatch.chdir(then.parent)
    moved = Path("then") / data_of(name)
    if name.endswith("_from"):
        shutil.rmtree(then / name.removesuffix("_from"))
    line = ["--workdir", f"then/{name}", "--data.directory", str(moved)]
    assert main(line) == 0
    check_went_on(then / name, then / f"{name}.jsonl")


@pytest.mark.parametrize("name", ["elmo", "bert"])
def test_an_earlier_run_goes_on_with_its_configuration(then, name):
    """As it is written now, under other names, from its first checkpoint."""
    run = then / name
    forget_after(run, 2)
    pretrain(EXPERIMENTS[name](then), run, mesh=one_device())
    check_went_on(run, then / f"{name}.jsonl")


@pytest.mark.parametrize("name", RUNS)
def test_an_earlier_run_is_evaluated_and_exported(then, tmp_path, capsys, name):
    line = [str(then / name), "--data", str(then / data_of(name))]
    assert evaluate(line) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 0 < figures["loss"] < 2 * math.log(100)
    model = tmp_path / "model"
    assert export([str(then / name), str(model), "--latest"]) == 0
    assert "the weights of step 4, held-out loss" in capsys.readouterr().out
    weights, _ = embed_jax.load(model)
    of_run, _ = embed_jax.load(then / name)
    jax.tree.map(np.testing.assert_array_equal, weights.encoder, of_run.encoder)


@pytest.mark.parametrize("model", ["elmo", "bert"])
def test_an_earlier_store_is_resumed(then, monkeypatch, capsys, model):
    """It knew the model by a checksum of its weights alone; one is in two parts."""
    monkeypatch.chdir(then)
    options = {"elmo": ("--layers", "all"), "bert": ("--layers", "mean(all)")}[model]
    pool = ("--words", "mean") if model == "bert" else ()
    line = [model, "sentences.txt", f"{model}.h5", "--devices", "1", *options, *pool]
    assert embed(line) != 0
    assert "unfinished run" in capsys.readouterr().err
    assert embed([*line, "--resume"]) == 0
    with VectorStore(f"{model}.h5") as store:
        assert len(store) == 12
        rows = np.asarray(store.read_rows(0, int(store.offsets[-1])))
    np.testing.assert_allclose(rows, np.load(f"{model}.npy"), rtol=0, atol=1e-6)
    assert embed([*line, "--resume"]) == 0
    assert f"{model}.h5 is complete already" in capsys.readouterr().out
