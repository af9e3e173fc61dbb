# SPDX-License-Identifier: Apache-2.0
"""No work ends because nobody reads what it says."""

import errno
import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from embed_jax.commands.streams import say
from embed_jax.exit_status import exit_status

# What is done between fork and exec touches no thread of jax.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")

ROOT = Path(__file__).parents[3]


class Failing(io.StringIO):
    """A stream that cannot be written to, or only when it is flushed."""

    def __init__(self, number: int, *, late: bool = False) -> None:
        super().__init__()
        self._number, self._late = number, late

    def write(self, text: str) -> int:
        if not self._late:
            raise OSError(self._number, os.strerror(self._number))
        return len(text)

    def flush(self) -> None:
        if self._late:
            raise OSError(self._number, os.strerror(self._number))


def work(done: list[bool]) -> None:
    sys.stdout.write("a result\n")
    sys.stderr.write("how far it is\n")
    print("more", file=sys.stderr, flush=True)  # noqa: T201
    done.append(True)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC])
def test_stderr_may_fail_as_it_likes(monkeypatch, number, late):
    done: list[bool] = []
    monkeypatch.setattr("sys.stderr", Failing(number, late=late))
    assert exit_status("name", lambda: work(done), "go on") == 0
    assert done == [True]


@pytest.mark.parametrize("missing", [None, "closed"])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_may_be_missing(monkeypatch, name, missing):
    done: list[bool] = []
    stream = io.StringIO() if missing else None
    if stream:
        stream.close()
    monkeypatch.setattr(f"sys.{name}", stream)
    assert exit_status("name", lambda: work(done), "go on") == 0
    assert done == [True]
    assert getattr(sys, name) is stream


@pytest.mark.parametrize("late", [False, True])
def test_a_reader_that_goes_ends_nothing(monkeypatch, capsys, late):
    done: list[bool] = []
    monkeypatch.setattr("sys.stdout", Failing(errno.EPIPE, late=late))
    assert exit_status("name", lambda: work(done), "go on") == 0
    assert done == [True]
    assert capsys.readouterr().err == "how far it is\nmore\n"


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_under_stdout_is_an_error(monkeypatch, capsys, late, number):
    """What was to be written there is wanted."""
    monkeypatch.setattr("sys.stdout", Failing(number, late=late))
    assert exit_status("name", lambda: work([]), "go on") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"name: [Errno {number}] {os.strerror(number)}"


def test_an_error_is_told_where_the_disk_under_stdout_is_full_too(monkeypatch, capsys):
    def fail() -> None:
        sys.stdout.write("a result\n")
        raise ValueError("no such model")

    monkeypatch.setattr("sys.stdout", Failing(errno.ENOSPC, late=True))
    assert exit_status("name", fail, "go on") == 2
    assert capsys.readouterr().err == "name: no such model\n"


def test_a_line_is_said_where_it_can_be(monkeypatch, capsys):
    say("a line")
    assert capsys.readouterr().err == "a line\n"
    for stream in (None, Failing(errno.EPIPE)):
        monkeypatch.setattr("sys.stderr", stream)
        say("a line")


_BEGINNING = """
import os, subprocess, sys
from embed_jax.commands import starting
starting.begin()
file = open(sys.argv[1], "wb")
os.write(1, b"what a library says")
os.write(2, b"what a library says")
speaks = "import os; os.write(1, b'a child'), os.write(2, b'a child')"
subprocess.run([sys.executable, "-c", speaks], check=True)
"""
_SPEAKING = """
import sys
from embed_jax.commands import starting
starting.begin()
from embed_jax.exit_status import exit_status
sys.exit(exit_status("name", lambda: print("much" * int(sys.argv[1])), "go on"))
"""


def test_no_file_gets_the_number_of_a_stream_that_is_closed(tmp_path):
    """What native code writes to its stderr would be found in it."""
    subprocess.run(
        [sys.executable, "-c", _BEGINNING, str(tmp_path / "file")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        preexec_fn=lambda: [os.close(1), os.close(2)],
    )
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("amount", [1, 40_000])
def test_a_process_whose_reader_goes_ends_quietly(amount):
    with subprocess.Popen(
        [sys.executable, "-c", _SPEAKING, str(amount)],
        # Else nothing would wait in a buffer.
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_terminal_that_goes_ends_nothing(tmp_path):
    """As of a job that was disowned: a write there is an error of input and output."""
    program = f"""
import sys
from embed_jax.exit_status import exit_status

def work():
    print("begun", flush=True)
    sys.stdin.readline()
    print("a result", flush=True)
    open({str(tmp_path / "done")!r}, "w").close()
    print("the rest")

sys.exit(exit_status("name", work, "go on"))
"""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        os.close(theirs)
        assert os.read(ours, 1) == b"b"
        os.close(ours)
        _, said = process.communicate("\n", timeout=60)
    assert (process.returncode, said) == (0, "")
    assert (tmp_path / "done").exists()
