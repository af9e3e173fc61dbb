# SPDX-License-Identifier: Apache-2.0
"""What a run in a bucket appends to is copied there before a checkpoint is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from embed_jax.files import bucket_claim
from embed_jax.files.claim import claim_directory
from train.loop import mirror
from train.loop.log import CURVES, METRICS, RunLog, read_metrics
from train.loop.mirror import Mirror


@pytest.fixture
def run(in_bucket: Path) -> Iterator[Path]:
    with claim_directory(in_bucket):
        yield in_bucket


def test_lines_are_there_before_a_checkpoint(run: Path):
    log = RunLog(run, 0)
    log.write(1, {"loss": 2.0}, kind="train")
    assert not (run / METRICS).exists()
    log.keep()
    assert [line["step"] for line in read_metrics(run, "train")] == [1]
    (curves,) = (run / CURVES).iterdir()
    size = curves.stat().st_size
    log.write(2, {"loss": 1.0}, kind="train")
    log.close()
    assert [line["step"] for line in read_metrics(run, "train")] == [1, 2]
    assert curves.stat().st_size > size


def test_a_run_that_goes_on_continues_its_lines(run: Path):
    lines = [{"step": step, "kind": "train", "loss": 1.0} for step in (1, 2, 3)]
    (run / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = RunLog(run, 2)
    log.write(3, {"loss": 0.5}, kind="train")
    log.close()
    found = [(line["step"], line["loss"]) for line in read_metrics(run, "train")]
    assert found == [(1, 1.0), (2, 1.0), (3, 0.5)]


def test_a_run_can_be_watched_between_checkpoints(run: Path, monkeypatch):
    monkeypatch.setattr(mirror, "SECONDS_BETWEEN_COPIES", 0.0)
    said: list[str] = []
    copies = Mirror(run, METRICS, said.append)
    (copies.folder / METRICS).write_bytes(b"a line\n")
    copies.written()
    folder = copies.folder
    copies.close()
    assert (run / METRICS).read_bytes() == b"a line\n"
    assert not folder.exists()
    assert not said


def test_a_copy_that_fails_is_tried_again_and_stops_the_next_checkpoint(
    run: Path, monkeypatch
):
    monkeypatch.setattr(mirror, "SECONDS_BETWEEN_COPIES", 0.0)

    def fail(source: Path, target: Path) -> None:
        raise OSError(f"{target} cannot be written")

    said: list[str] = []
    copies = Mirror(run, METRICS, said.append)
    (copies.folder / METRICS).write_bytes(b"a line\n")
    with monkeypatch.context() as failing:
        failing.setattr(mirror, "put_file", fail)
        copies.written()
        with pytest.raises(OSError, match=rf"{METRICS} cannot be written"):
            copies.copy()
        assert "the next copy may succeed" in said[0]
    copies.close()
    assert (run / METRICS).read_bytes() == b"a line\n"


def test_nothing_is_written_to_a_run_that_another_has_taken_over(
    in_bucket: Path, monkeypatch
):
    monkeypatch.setattr(bucket_claim, "SECONDS_TO_EXPIRE", 0.0)
    with claim_directory(in_bucket):
        log = RunLog(in_bucket, 0)
        log.write(1, {"loss": 2.0}, kind="train")
        (in_bucket / bucket_claim.NAME).write_bytes(b"another's")
        for act in (log.keep, log.close):
            with pytest.raises(BlockingIOError, match="was taken over by"):
                act()
    assert not (in_bucket / METRICS).exists()
