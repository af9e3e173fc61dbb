# SPDX-License-Identifier: Apache-2.0
"""What an output replaces: the file that was meant, and nothing else."""

import os
import stat
import sys
from pathlib import Path

import pytest

from embed_jax.files.output_file import check_output, open_output


def test_a_file_that_ends_in_new_is_somebodys_own(tmp_path: Path):
    beside = tmp_path / "scores.tsv.new"
    beside.write_text("mine")
    with open_output(tmp_path / "scores.tsv") as file:
        file.write(b"ours")
    assert beside.read_text() == "mine"
    with pytest.raises(RuntimeError), open_output(tmp_path / "scores.tsv"):
        raise RuntimeError
    assert beside.read_text() == "mine"
    assert (tmp_path / "scores.tsv").read_text() == "ours"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_beside_it_is_not_written_through(tmp_path: Path):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "scores.tsv.new").symlink_to(target)
    with open_output(tmp_path / "scores.tsv") as file:
        file.write(b"ours")
    assert target.read_text() == "mine"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_one_and_its_file_is_written(tmp_path: Path, is_there: bool):
    disk, here = tmp_path / "disk", tmp_path / "here"
    disk.mkdir()
    here.mkdir()
    if is_there:
        (disk / "data").write_text("before")
    (here / "link").symlink_to(Path("../disk/data"))
    check_output(here / "link", replace=True)
    with open_output(here / "link") as file:
        assert [path.name for path in here.iterdir()] == ["link"]
        file.write(b"after")
    assert (here / "link").is_symlink()
    assert (disk / "data").read_text() == "after"
    assert [path.name for path in disk.iterdir()] == ["data"]


def test_a_link_into_a_directory_that_is_missing_is_refused(tmp_path: Path):
    (tmp_path / "link").symlink_to(tmp_path / "none/data")
    with pytest.raises(ValueError, match="none: no such directory"):
        check_output(tmp_path / "link", replace=True)


def test_permissions_stay(tmp_path: Path):
    path = tmp_path / "secret"
    path.write_text("before")
    path.chmod(0o600)
    with open_output(path) as file:
        file.write(b"after")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    mask = os.umask(0o022)
    try:
        with open_output(tmp_path / "new") as file:
            file.write(b"")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o644


def test_a_name_as_long_as_a_name_can_be(tmp_path: Path):
    path = tmp_path / ("é" * 127)
    with open_output(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


@pytest.mark.skipif(sys.platform != "linux", reason="has no /proc/self/fd")
def test_all_is_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The file, then the rename, then the names above it."""
    events = []
    fsync, replace = os.fsync, Path.replace

    def noted(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().suffix or "above")
        fsync(descriptor)

    def replaced(path: Path, target: Path):
        events.append(f"{path.suffix} becomes {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", replaced)
    with open_output(tmp_path / "scores.tsv") as file:
        file.write(b"ours")
    assert events == [".new", ".new becomes scores.tsv", "above"]
