# SPDX-License-Identifier: Apache-2.0
"""A signal saves a pretraining, whoever reads on; the quickstart stops too."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import train.quickstart
from embed_jax.commands.starting import SIGNALS
from embed_jax.files.run_directory import saved_steps
from train.pretrain import main

CONFIG = """
from pathlib import Path
from tests.train.experiments import make_experiment

def config():
    return make_experiment("bert", Path({folder!r}), num_steps=6, save_every=100,
                           eval_every=0)
"""
# Metrics are read a step late.
TRACKER = """
import signal, sys

def track(step, points):
    if step == 2:
        sys.stderr = {stderr}
        signal.raise_signal(signal.{name})
"""


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch) -> None:
    """Leave the settings of this process as they are."""
    for command in ("pretrain", "quickstart"):
        monkeypatch.setattr(f"train.{command}.keep_compilations", lambda: None)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Handlers as in a terminal, put back by what is tried."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    found = [signal.getsignal(number) for number in SIGNALS]
    yield
    left = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in before.items():
        signal.signal(number, handler)
    assert left == found


def line(folder: Path, tmp_path: Path, **tracked: str) -> list[str]:
    config = tmp_path / "own_config.py"
    config.write_text(CONFIG.format(folder=str(folder)), encoding="utf-8")
    given = [str(config), "--workdir", str(tmp_path / "run")]
    if tracked:
        tracker = tmp_path / "own_tracker.py"
        tracker.write_text(TRACKER.format(**tracked), encoding="utf-8")
        given += ["--tracker", str(tracker)]
    return given


@pytest.mark.parametrize(
    ("name", "stderr"), [("SIGHUP", "None"), ("SIGTERM", "sys.stderr")]
)
def test_a_signal_saves_and_the_status_says_that_it_is_not_finished(
    folder, tmp_path, capsys, name, stderr
):
    assert main(line(folder, tmp_path, name=name, stderr=stderr)) == 130
    (step,) = saved_steps(tmp_path / "run")
    assert 2 <= step < 6
    said = capsys.readouterr().err
    if stderr != "None":
        assert said.count("stopped") == 1
        assert said.splitlines()[-1] == f"stopped and saved at step {step}"
    # It goes on, in a thread too, where no signal can be heard.
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(main(line(folder, tmp_path))))
    thread.start()
    thread.join()
    assert found == [0]
    assert saved_steps(tmp_path / "run")[-1] == 6


def test_the_quickstart_stops_while_it_prepares(tmp_path, monkeypatch, capsys):
    def prepare(data, say):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it was not interrupted")

    monkeypatch.setattr(train.quickstart, "prepare", prepare)
    assert train.quickstart.main(["--directory", str(tmp_path / "q")]) == 130
    (said,) = capsys.readouterr().err.splitlines()
    assert said == "train.quickstart: stopped; the same command goes on where it was"
