import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.train.tasks.tagged_features import SMALL, make_splits
from train.tasks.ner import trained_specs
from train.tasks.ner.tagging import TaggedFeatures
from train.tasks.ner.trained_specs import train_specs

SPECS = ("last", "mix(all)")


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TaggedFeatures]:
    return make_splits(tmp_path_factory.mktemp("features"))


@pytest.mark.slow
def test_side_by_side_is_one_after_the_other(splits, tmp_path: Path, monkeypatch):
    config = dataclasses.replace(SMALL, num_epochs=1)
    alone = train_specs(config, SPECS, splits, tmp_path / "alone", jobs=1)
    # In processes of their own: nothing is trained in this one.
    monkeypatch.setattr(trained_specs, "train_taggers", None)
    beside = train_specs(config, SPECS, splits, tmp_path / "beside", jobs=2)
    assert list(beside) == list(SPECS)
    for spec in SPECS:
        assert beside[spec].predictions == alone[spec].predictions
        assert beside[spec].dev == alone[spec].dev
    # And what the files say is not trained again.
    again = train_specs(config, SPECS, splits, tmp_path / "beside", jobs=1)
    assert again["last"].test == beside["last"].test
    with pytest.raises(TypeError):
        train_specs(config, SPECS, splits, tmp_path / "beside", jobs=1, retrain=True)


def test_a_process_that_is_killed_is_told_of(splits, tmp_path: Path):
    def kill_one() -> None:
        while not (found := multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(found[0].pid or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(OSError, match="--jobs 1 needs less"):
        train_specs(SMALL, SPECS, splits, tmp_path, jobs=2)
    killer.join()
    # The other may have ended well meanwhile, and is kept.
    assert len(list(tmp_path.glob("*.json"))) < len(SPECS)


class Interrupting(dict):
    """Presses Ctrl-C in the process that is sent it."""

    def __reduce__(self):
        return press_ctrl_c, (dict(self),)


def press_ctrl_c(splits: dict) -> dict:
    os.kill(os.getpid(), signal.SIGINT)
    return splits


class StandingStill(dict):
    """Does nothing for ever in the first processes that are sent it."""

    def __reduce__(self):
        return stand_still, (dict(self), *self.times)


def stand_still(splits: dict, folder: Path, times: int) -> dict:
    for number in range(times):
        with contextlib.suppress(FileExistsError):
            (folder / str(number)).touch(exist_ok=False)
            time.sleep(600)
    return splits


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 9])
def test_processes_that_stand_still_are_begun_anew(
    splits, tmp_path: Path, monkeypatch, capsys, times
):
    monkeypatch.setattr(trained_specs, "PATIENCE", 4.0)
    monkeypatch.setattr(trained_specs, "MOST_STARTS", 2)
    splits = StandingStill(splits)
    splits.times = (tmp_path, times)
    config = dataclasses.replace(SMALL, num_epochs=1)
    train = partial(train_specs, config, SPECS, splits, tmp_path / "found", jobs=2)
    if times == 1:
        assert list(train()) == list(SPECS)
        again = capsys.readouterr().err.splitlines()
        assert "no process has done anything for 4 s; 1 taggers" in "".join(again)
    else:
        with pytest.raises(OSError, match="stood still 2 times; --jobs 1"):
            train()
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("heard_ctrl_c")
def test_what_fails_in_a_process_fails_here(splits, tmp_path: Path):
    """And Ctrl-C, which a terminal sends to all of them, does not."""
    splits = Interrupting(splits)
    with pytest.raises(ValueError, match=r"layers 0\.\.2"):
        train_specs(SMALL, ("mix(last4)", "1"), splits, tmp_path, jobs=2)
    # Another thread may be about to note that one has ended.
    deadline = time.monotonic() + 20
    while multiprocessing.active_children():
        assert time.monotonic() < deadline
        time.sleep(0.01)
