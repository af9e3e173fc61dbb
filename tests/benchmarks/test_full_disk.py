# SPDX-License-Identifier: Apache-2.0
"""A file system that can be full, and what a command should say of it."""

import os
import time
from pathlib import Path

import pytest

from benchmarks.full_disk import digests, unclear
from benchmarks.small_disk import small_disk

LINE = "train.pretrain: RUN/metrics.jsonl: No space left on device"


@pytest.mark.parametrize(
    ("said", "status", "is_clear"),
    [
        (f"step 2, loss 3.4\n{LINE}\n", 2, True),
        ("train.pretrain: a checkpoint needs 9 MB and the disk has 0 MB\n", 2, True),
        (f"{LINE}\n", 1, False),
        ("", 2, False),
        ("train.pretrain: 200 requested and 100 written\n", 2, False),
        (f"a save failed: No space left on device\n{LINE}\n", 2, False),
        (f"Traceback (most recent call last):\n{LINE}\n", 2, False),
        (f"{LINE}\nand one more\n", 2, False),
    ],
)
def test_one_line_is_asked_for_that_names_the_cause(said, status, is_clear):
    assert (unclear(said, status) == "") is is_clear


def test_a_disk_is_full_for_a_while():
    try:
        mounted = small_disk(1 << 18)
        disk = mounted.__enter__()
    except PermissionError as error:
        pytest.skip(str(error))
    try:
        (disk.path / "input").write_bytes(b"words")
        (disk.path / "old").write_bytes(b"x" * (1 << 16))
        before = digests(disk.path)
        with disk.full():
            with pytest.raises(OSError, match="No space left on device"):
                write(disk.path / "new", 1 << 13)
            # Room that the command makes is filled as well.
            (disk.path / "old").unlink()
            end = time.monotonic() + 30
            while os.statvfs(disk.path).f_bavail:
                assert time.monotonic() < end
        write(disk.path / "new", 1 << 13)
        (disk.path / "new").unlink()
        del before["old"]
        assert digests(disk.path) == before
    finally:
        mounted.__exit__(None, None, None)


def write(path: Path, size: int) -> None:
    try:
        path.write_bytes(b"x" * size)
    except OSError:
        path.unlink(missing_ok=True)
        raise
