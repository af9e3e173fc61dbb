# SPDX-License-Identifier: Apache-2.0
"""A claim in a bucket is renewed by who works, and taken over from who is gone."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from embed_jax.files import bucket_claim
from embed_jax.files.bucket_claim import NAME, check_still_claimed
from embed_jax.files.claim import claim_directory
from embed_jax.files.holder import Holder


@pytest.fixture(autouse=True)
def hurried(monkeypatch) -> None:
    """A second stands for a minute."""
    monkeypatch.setattr(bucket_claim, "SECONDS_TO_RENEW", 0.1)
    monkeypatch.setattr(bucket_claim, "SECONDS_TO_EXPIRE", 1.0)


def leave(run: Path, *, renewed: float | None = None, **changes: object) -> bytes:
    """Leave the claim of another process; return its content."""
    holder = replace(Holder.this(), **changes)
    when = time.time() if renewed is None else renewed
    content = json.dumps({**asdict(holder), "renewed": when}).encode()
    (run / NAME).write_bytes(content)
    return content


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone() -> int:
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_two_at_once_are_refused_and_the_holder_is_named(in_bucket: Path):
    with claim_directory(in_bucket):
        with (
            pytest.raises(
                BlockingIOError, match=f"by {Holder.this()}".split(" since")[0]
            ),
            claim_directory(in_bucket),
        ):
            pytest.fail("a second one")
        check_still_claimed(in_bucket)
    assert not (in_bucket / NAME).exists()
    with claim_directory(in_bucket):
        pass


def test_a_claim_is_renewed(in_bucket: Path):
    with claim_directory(in_bucket):
        first = (in_bucket / NAME).read_bytes()
        wait_until(lambda: (in_bucket / NAME).read_bytes() != first)
        time.sleep(1.2)
        check_still_claimed(in_bucket)


def test_a_process_of_this_machine_that_is_gone_is_taken_over_at_once(
    in_bucket: Path, monkeypatch
):
    leave(in_bucket, pid=gone())
    monkeypatch.setattr(bucket_claim, "SECONDS_TO_EXPIRE", 1000.0)
    with claim_directory(in_bucket):
        pass


def test_another_machine_that_renews_is_not_taken_over(in_bucket: Path, monkeypatch):
    sleep = time.sleep
    monkeypatch.setattr(
        bucket_claim.time,
        "sleep",
        lambda seconds: (sleep(seconds), leave(in_bucket, host="other", boot="b")),
    )
    leave(in_bucket, host="other", boot="b")
    with (
        pytest.raises(
            BlockingIOError, match=r"is being written by process \d+ on other"
        ),
        claim_directory(in_bucket),
    ):
        pytest.fail("it was taken over")


def test_another_machine_that_does_not_renew_is_waited_for_and_taken_over(
    in_bucket: Path, caplog
):
    leave(in_bucket, host="other", boot="b")
    began = time.monotonic()
    with claim_directory(in_bucket):
        assert time.monotonic() - began >= 1.0
    assert "on other since" in caplog.text
    assert "who does not renew it" in caplog.text


def test_what_was_not_renewed_for_long_is_not_waited_for(in_bucket: Path, monkeypatch):
    leave(in_bucket, host="other", boot="b", renewed=time.time() - 3600)
    monkeypatch.setattr(bucket_claim, "SECONDS_TO_EXPIRE", 1000.0)
    with claim_directory(in_bucket):
        pass


def test_a_claim_that_was_lost_is_noticed_and_left_to_who_has_it(in_bucket: Path):
    with claim_directory(in_bucket):
        theirs = leave(in_bucket, host="other", boot="b")

        def is_lost() -> bool:
            try:
                check_still_claimed(in_bucket)
            except BlockingIOError:
                return True
            return False

        wait_until(is_lost)
        with pytest.raises(BlockingIOError, match=r"was taken over by .* on other"):
            check_still_claimed(in_bucket)
    assert (in_bucket / NAME).read_bytes() == theirs


def test_an_object_of_another_kind_is_no_claim(in_bucket: Path):
    (in_bucket / NAME).write_bytes(b"my insurance claim")
    with (
        pytest.raises(FileExistsError, match="is an object of another kind"),
        claim_directory(in_bucket),
    ):
        pytest.fail("it was taken")
    assert (in_bucket / NAME).read_bytes() == b"my insurance claim"


def test_a_bucket_that_is_not_there_is_said_in_a_line(in_bucket: Path):
    elsewhere = type(in_bucket)("gs://nowhere/run")
    with (
        pytest.raises(OSError, match=r"gs://nowhere/run cannot be .*Not Found") as e,
        claim_directory(elsewhere),
    ):
        pytest.fail("it was taken")
    assert "\n" not in str(e.value)
