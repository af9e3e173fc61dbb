# SPDX-License-Identifier: Apache-2.0
"""Every point of a run reaches a function of the user's, who may fail."""

import sys
from types import SimpleNamespace

import pytest

from tests.conftest import REPOSITORY
from tests.end_to_end.pages import read_blocks
from tests.train.experiments import KINDS, losses, make_experiment, one_device
from train.loop.log import RunLog
from train.own_file import load_file
from train.pretrain import main, pretrain

PAGE = REPOSITORY / "docs" / "pretraining.md"
OWN = """
import json
points = open("points.jsonl", "a")
def track(step, metrics):
    print(json.dumps([step, metrics]), file=points, flush=True)
"""


def test_errors_of_a_tracker_are_said_once_and_stop_nothing(tmp_path, capsys):
    told = []

    def track(step, metrics):
        if step in (2, 3, 5):
            raise ConnectionError("no network")
        told.append((step, metrics))

    log = RunLog(tmp_path, 0, track)
    for step in range(1, 6):
        log.write(step, {"loss": float(step)}, kind="train")
    log.close()
    assert told == [(1, {"train/loss": 1.0}), (4, {"train/loss": 4.0})]
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said] == [
        "the tracker failed at step 2",
        "the tracker failed at step 5",
    ]
    assert len(losses(tmp_path)) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_tells_every_point_by_the_name_of_its_curve(folder, tmp_path, kind):
    options = {"num_steps": 2, "eval_every": 2, "eval_batches": 1}
    experiment = make_experiment(kind, folder, **options)
    run = tmp_path / "run"
    told = []
    pretrain(
        experiment,
        run,
        mesh=one_device(),
        track=lambda step, metrics: told.append((step, metrics)),
    )
    held = [
        (
            line["step"],
            {
                f"{line['kind']}/{name}": value
                for name, value in line.items()
                if name not in ("step", "kind")
            },
        )
        for line in losses(run)
    ]
    assert told == held
    assert {name.partition("/")[0] for _, points in told for name in points} == {
        *("train", "held_out")
    }


def test_the_command_takes_a_file_with_the_function(
    tmp_path, monkeypatch, sigterm_as_before, capsys
):
    given = {}
    monkeypatch.setattr(
        "train.pretrain.pretrain", lambda *_, track, **__: given.update(track=track)
    )
    monkeypatch.setattr("train.pretrain.keep_compilations", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    line = ["elmo_tiny", "--workdir", "run", "--tracker"]
    assert main([*line, "mine.py"]) == 0
    given["track"](3, {"train/loss": 2.5})
    text = (tmp_path / "points.jsonl").read_text(encoding="utf-8")
    assert text == '[3, {"train/loss": 2.5}]\n'
    module = sys.modules[given["track"].__module__]
    module.points.close()
    (tmp_path / "other.py").write_text("a = 3")
    assert main([*line, "other.py"]) == 2
    assert "other.py has no function track()" in capsys.readouterr().err


def test_the_one_of_the_page_logs_every_point(tmp_path, monkeypatch):
    (block,) = [b.text for b in read_blocks(PAGE) if "def track" in b.text]
    assert len([line for line in block.splitlines() if line.strip()]) <= 6
    logged = []
    run = SimpleNamespace(log=lambda metrics, step: logged.append((step, metrics)))
    wandb = SimpleNamespace(init=lambda **_: run)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    path = tmp_path / "wandb_tracker.py"
    path.write_text(block, encoding="utf-8")
    log = RunLog(tmp_path, 0, load_file(str(path), "track").track)
    log.write(50, {"masked_loss": 3.25}, kind="train")
    log.close()
    assert logged == [(50, {"train/masked_loss": 3.25})]
