# SPDX-License-Identifier: Apache-2.0
"""Two at one output, kills, full disks: a few of what benchmarks/ does a hundred of.

In processes of their own, for they fork: no backend of jax may have begun there.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.small_disk import small_disk

REPOSITORY = Path(__file__).parents[2]


def run(*arguments: str) -> list[list[str]]:
    """Run a benchmark, which fails where anything is wrong; return its table's rows."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, _, *rows = done.stdout.splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.mark.slow
def test_of_two_at_once_one_wins_and_the_other_says_who():
    rows = run(
        "benchmarks.two_at_once",
        "--times",
        "1",
        "--only",
        "word_types",
        "prepare, bert",
    )
    assert len(rows) == 2
    for _, pairs, told, late, taken, equal in rows:
        assert int(told) + int(late) == int(pairs) == 1
        assert (taken, equal) == ("1 of 1", "2 of 2")


@pytest.mark.slow
def test_what_was_killed_ends_like_what_was_not():
    rows = run("benchmarks.kills", "--kills", "3", "--only", "embed, bert", "finetune")
    assert len(rows) == 2
    for _, _, kills, _, runs, equal in rows:
        assert int(kills) >= 3
        assert runs == equal


@pytest.mark.slow
def test_a_disk_that_is_full_loses_nothing():
    try:
        with small_disk(1 << 16):
            pass
    except PermissionError as error:
        pytest.skip(str(error))
    only = ("pretrain, bert", "embed, elmo", "train.export, elmo")
    rows = run("benchmarks.full_disk", "--moments", "3", "--only", *only)
    assert len(rows) == len(only)
    for _, _, moments, _, _, equal, _ in rows:
        assert moments == equal == "3"


@pytest.mark.slow
def test_a_run_in_a_bucket_is_one_process_s_and_ends_as_if_it_was_not_killed():
    times = os.environ.get("KILLS_IN_BUCKET", "1")
    options = ("--bucket", "--only", "pretrain")
    killed = run("benchmarks.kills", "--kills", times, *options)
    assert len(killed) == 2
    for _, _, kills, _, runs, equal in killed:
        assert int(kills) >= int(times)
        assert runs == equal
    ((_, pairs, told, late, taken, equal),) = run(
        "benchmarks.two_at_once", "--times", "1", "--bucket", "--only", "pretrain, bert"
    )
    assert int(told) + int(late) == int(pairs)
    assert (taken, equal) == ("1 of 1", "2 of 2")
