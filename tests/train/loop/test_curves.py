# SPDX-License-Identifier: Apache-2.0
"""Curves are what TensorBoard would show, and never in the way of a run."""

import struct
from collections import defaultdict
from pathlib import Path

import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import RecordWriter

from train.loop import curves
from train.loop.curves import Curves
from train.loop.log import METRICS, RunLog, read_metrics


def shown(directory: Path) -> dict[str, list[int]]:
    """Return the steps of each curve: those at or above a later start are dropped."""
    steps: dict[str, list[int]] = defaultdict(list)
    for path in sorted(directory.iterdir()):
        data, position = path.read_bytes(), 0
        while position < len(data):
            (size,) = struct.unpack_from("<Q", data, position)
            event = event_pb2.Event.FromString(data[position + 12 :][:size])
            position += 16 + size
            if event.HasField("session_log"):
                assert event.session_log.status == event_pb2.SessionLog.START
                for name, held in steps.items():
                    steps[name] = [step for step in held if step < event.step]
            for value in event.summary.value:
                steps[value.tag].append(event.step)
    return dict(steps)


def test_points_are_shown(tmp_path: Path):
    written = Curves(tmp_path / "tensorboard", 0)
    for step in (1, 2, 3):
        written.write(step, {"train/loss": 1 / step, "train/rate": 0.0})
    written.close()
    assert shown(tmp_path / "tensorboard") == {
        "train/loss": [1, 2, 3],
        "train/rate": [1, 2, 3],
    }


def test_a_run_that_goes_on_keeps_the_points_of_its_checkpoint(tmp_path: Path):
    """The last one is of step 4; what came after it is made again."""
    for first, last in ((0, 6), (4, 9), (4, 7)):
        log = RunLog(tmp_path, first)
        for step in range(first + 1, last + 1):
            log.write(step, {"loss": 1.0}, kind="train")
            if step % 2 == 0:
                log.write(step, {"loss": 2.0}, kind="held_out")
        log.close()
    found = shown(tmp_path / "tensorboard")
    assert found == {
        "train/loss": [1, 2, 3, 4, 5, 6, 7],
        "held_out/loss": [2, 4, 6],
    }
    for kind in ("train", "held_out"):
        lines = read_metrics(tmp_path, kind)
        assert [line["step"] for line in lines] == found[f"{kind}/loss"]


@pytest.mark.parametrize("call", ["write", "flush", "open"])
def test_a_full_disk_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, call: str
):
    """Nor does it keep what comes after it from being shown."""
    full = [False]

    def failing(function):
        def called(*arguments, **options):
            if full[0]:
                raise OSError(28, "No space left on device")
            return function(*arguments, **options)

        return called

    if call == "open":
        monkeypatch.setattr(Path, "mkdir", failing(Path.mkdir))
    else:
        monkeypatch.setattr(RecordWriter, call, failing(getattr(RecordWriter, call)))
    monkeypatch.setattr(curves, "SECONDS_BETWEEN_FLUSHES", 0.0)
    log = RunLog(tmp_path, 0)
    for step in range(1, 60):
        full[0] = 10 <= step < 50 if call != "open" else step < 50
        log.write(step, {"loss": 1.0}, kind="train")
    log.close()
    assert len(read_metrics(tmp_path, "train")) == 59
    assert set(range(51, 60)) <= set(shown(tmp_path / "tensorboard")["train/loss"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"curves lack points from step {1 if call == 'open' else 10} on" in said
    assert METRICS in said
