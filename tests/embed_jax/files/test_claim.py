# SPDX-License-Identifier: Apache-2.0
"""A claim: one process at a time, who holds it is said, and none is left stale."""

import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from embed_jax.files import claim as module
from embed_jax.files.claim import Holder, claim, claim_directory
from tests.claims import claimed_by_another

HELD = re.compile(
    rf"out is being written by process {os.getpid()} on "
    rf"{re.escape(socket.gethostname())} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC: "
    "wait until that is done, or stop it"
)
# Holds a claim for as long as it lives, and forks a child that outlives nothing.
HOLDER = """
import sys, time
from pathlib import Path
from embed_jax.files.claim import claim, claim_directory
with (claim_directory if sys.argv[2:] else claim)(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


@pytest.fixture
def killed(tmp_path: Path):
    """Claim a path in another process, and kill it."""

    def kill(path: Path, *options: str) -> None:
        line = [sys.executable, "-c", HOLDER, str(path), *options]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"process {process.pid} on"):
            take(path, *options)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    return kill


def take(path: Path, *options: str) -> None:
    with claim_directory(path) if options else claim(path):
        pass


def left_by(path: Path, **changes: object) -> Path:
    """Write what a holder has left that is gone."""
    path.write_text(json.dumps(asdict(replace(Holder.this(), **changes))))
    return path


def test_the_second_is_told_who_the_first_is(tmp_path: Path):
    path = tmp_path / "out"
    with claimed_by_another(path):
        with pytest.raises(BlockingIOError) as refused, claim(path):
            pass
        assert HELD.search(str(refused.value))
        assert names(tmp_path) == ["out.claim"]
    with claim(path):
        assert names(tmp_path) == ["out.claim"]
    assert names(tmp_path) == []


def test_an_error_gives_it_back(tmp_path: Path):
    with pytest.raises(RuntimeError), claim(tmp_path / "new/out"):
        raise RuntimeError
    assert names(tmp_path) == []


def test_a_block_may_claim_what_it_holds(tmp_path: Path):
    path = tmp_path / "out"
    with claim(path):
        with claim(path):
            pass
        with pytest.raises(AssertionError), claimed_by_another(path):
            pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("options", [(), ("inside",)])
def test_what_a_killed_process_held_is_taken_over(tmp_path, killed, options):
    path = tmp_path / "folder" / "out"
    killed(path, *options)
    left = path / "claim" if options else path.with_name("out.claim")
    assert left.read_bytes()
    take(path, *options)
    assert not left.exists()


def test_two_names_of_one_file_are_one(tmp_path: Path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "link"
    link.symlink_to("disk/out")
    (tmp_path / "folder").symlink_to("disk")
    with claimed_by_another(tmp_path / "disk/out"):
        for path in (link, tmp_path / "folder/out"):
            with pytest.raises(BlockingIOError), claim(path):
                pass


def test_a_directory_is_claimed_inside(tmp_path: Path):
    """Its owner may be unable to write beside it."""
    run = tmp_path / "run"
    with claim_directory(run):
        assert names(run) == ["claim"]
        assert names(tmp_path) == ["run"]
        (run / "weights").touch()
    assert names(run) == ["weights"]
    with pytest.raises(RuntimeError), claim_directory(tmp_path / "other/run"):
        raise RuntimeError
    assert names(tmp_path) == ["run"]


def test_a_name_as_long_as_a_name_can_be(tmp_path: Path):
    path = tmp_path / ("é" * 127)
    with claim(path):
        path.touch()
        (beside,) = set(names(tmp_path)) - {path.name}
        assert beside.endswith(".claim")
        with claim(tmp_path / ("é" * 126 + "e")):
            assert len(names(tmp_path)) == 3


def test_a_file_of_that_name_is_somebodys_own(tmp_path: Path):
    own = tmp_path / "out.claim"
    own.write_text("I claim that")
    with pytest.raises(FileExistsError, match=r"out\.claim .* of another kind"):
        take(tmp_path / "out")
    assert own.read_text() == "I claim that"


def test_another_machine_is_believed_gone_where_its_lock_would_hold_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    left = left_by(tmp_path / "out.claim", host="elsewhere", boot="another")
    monkeypatch.setattr(module, "locks_hold_everywhere", lambda path: False)
    said = rf"by process {os.getpid()} on elsewhere since .* gone, remove .*out\.claim"
    with pytest.raises(BlockingIOError, match=said):
        take(tmp_path / "out")
    assert left.exists()
    monkeypatch.setattr(module, "locks_hold_everywhere", lambda path: True)
    take(tmp_path / "out")
    assert not left.exists()


@pytest.mark.skipif(not Holder.this().boot, reason="the kernel does not name its start")
@pytest.mark.parametrize("changes", [{"host": "container"}, {"boot": "before"}])
def test_a_container_of_this_machine_is_here_and_so_is_what_was_before_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
):
    monkeypatch.setattr(module, "locks_hold_everywhere", lambda path: False)
    left_by(tmp_path / "out.claim", **changes)
    take(tmp_path / "out")
    assert names(tmp_path) == []


def test_without_locks_a_claim_lasts_as_long_as_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(Holder, "is_elsewhere", lambda self: False)
    left = left_by(tmp_path / "out.claim")
    with pytest.raises(BlockingIOError, match=f"written by process {os.getpid()} "):
        take(tmp_path / "out")
    # The number is another process's by now.
    left_by(left, started="2001-01-01 00:00:00 UTC")
    take(tmp_path / "out")
    assert not left.exists()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left_by(left, pid=ended.pid)
    take(tmp_path / "out")
    assert not left.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="has no /proc")
def test_a_folder_that_nothing_can_be_written_to_is_named():
    with pytest.raises(OSError, match="/proc"):
        take(Path("/proc/vectors.h5"))
