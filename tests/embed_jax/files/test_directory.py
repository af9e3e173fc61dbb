# SPDX-License-Identifier: Apache-2.0
"""A directory that is replaced is never missing, and never somebody else's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embed_jax.files import directory
from embed_jax.files.directory import written_whole


def write(path: Path, text: str, *, overwrite: bool = False) -> None:
    with written_whole(path, marker="model", overwrite=overwrite) as fresh:
        (fresh / "model").write_text(text)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


@pytest.fixture(params=["one step", "two renames"])
def replacing(request, monkeypatch: pytest.MonkeyPatch) -> str:
    """On Linux, and where there is no such call."""
    if request.param == "two renames":

        def without(*_, **__):
            raise OSError("no C library")

        monkeypatch.setattr("ctypes.CDLL", without)
    return request.param


@pytest.mark.usefixtures("replacing")
def test_a_directory_is_replaced_with_all_that_lies_in_it(tmp_path: Path):
    write(tmp_path / "m", "one")
    (tmp_path / "m/more").write_text("of the first")
    with pytest.raises(FileExistsError, match="m exists; pass overwrite=True"):
        write(tmp_path / "m", "two")
    write(tmp_path / "m", "two", overwrite=True)
    assert names(tmp_path) == ["m"]
    assert names(tmp_path / "m") == ["model"]
    assert (tmp_path / "m/model").read_text() == "two"


@pytest.mark.usefixtures("replacing")
def test_an_empty_directory_is_taken(tmp_path: Path):
    (tmp_path / "m").mkdir()
    write(tmp_path / "m", "one", overwrite=True)
    assert (tmp_path / "m/model").read_text() == "one"
    assert names(tmp_path) == ["m"]


def test_one_of_another_kind_is_not_replaced(tmp_path: Path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match="m holds no model, so it is of another"):
        write(tmp_path / "m", "one", overwrite=True)
    assert names(tmp_path) == ["m"]


@pytest.mark.usefixtures("replacing")
def test_a_link_stays_one_and_its_directory_is_written(tmp_path: Path):
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.mkdir()
    link.symlink_to("disk/m")
    write(link, "one")
    write(link, "two", overwrite=True)
    assert link.is_symlink()
    assert (disk / "m/model").read_text() == "two"
    assert names(disk) == ["m"]
    assert names(tmp_path) == ["disk", "link"]


def test_what_came_meanwhile_is_kept_beside_what_was_written(tmp_path: Path):
    path = tmp_path / "m"

    def write_while_another_comes() -> None:
        with written_whole(path, marker="model", overwrite=False) as fresh:
            (fresh / "model").write_text("ours")
            path.mkdir()
            (path / "model").write_text("theirs")

    with pytest.raises(FileExistsError, match=r"what was written is .*m\.new-"):
        write_while_another_comes()
    assert (path / "model").read_text() == "theirs"
    (kept,) = tmp_path.glob("m.new-*")
    assert (kept / "model").read_text() == "ours"


# Kills the process right after the Nth system call that gives a file another name.
KILLED = """
import os, pathlib, signal, sys
from embed_jax.files import directory

remaining = [int(sys.argv[2])]

def killing(rename):
    def renamed(*names):
        result = rename(*names)
        remaining[0] -= 1
        if not remaining[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return renamed

pathlib.Path.rename = killing(pathlib.Path.rename)
load = directory.ctypes.CDLL
class Library:
    def __init__(self, *_, **__):
        self.renameat2 = killing(load(None, use_errno=True).renameat2)
directory.ctypes.CDLL = Library

with directory.written_whole(sys.argv[1], marker="model", overwrite=True) as fresh:
    (fresh / "model").write_text("two")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="has no step that changes places")
def test_a_kill_at_any_rename_leaves_a_whole_directory_in_its_place(tmp_path: Path):
    path = tmp_path / "m"
    write(path, "one")
    line = [sys.executable, "-c", KILLED, str(path)]
    for number in (1, 2, 3):
        status = subprocess.run([*line, str(number)]).returncode
        assert (path / "model").read_text() in ("one", "two")
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert (path / "model").read_text() == "two"


def test_without_such_a_step_the_old_one_has_a_name_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "m", "one")
    monkeypatch.setattr(directory.ctypes, "CDLL", lambda *_, **__: object())
    rename = Path.rename
    seen = []

    def look(path: Path, target: Path):
        result = rename(path, target)
        seen.append(names(tmp_path))
        return result

    monkeypatch.setattr(Path, "rename", look)
    write(tmp_path / "m", "two", overwrite=True)
    assert any(name.startswith("m.replaced-") for name in seen[0])
    assert names(tmp_path) == ["m"]


def test_all_is_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Files, their directory, then the rename, then the names above it."""
    events = []
    fsync, rename = os.fsync, Path.rename

    def noted(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def renamed(path: Path, target: Path):
        events.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", renamed)
    write(tmp_path / "m", "one")
    assert events == ["model", "new", "rename", tmp_path.name]
