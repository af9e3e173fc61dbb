# SPDX-License-Identifier: Apache-2.0
"""Signals of a command, in its process and in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embed_jax.commands.starting import SIGNALS
from embed_jax.commands.stopping import Stop, noting
from embed_jax.exit_status import exit_status

# What is done between fork and exec touches no thread of jax.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")

ROOT = Path(__file__).parents[3]
# Nothing takes nearly as long.
LONG = 60.0


@pytest.fixture(autouse=True)
def handlers() -> Iterator[list]:
    """Handlers as in a terminal, and put back even if a test fails."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    found = [signal.getsignal(number) for number in SIGNALS]
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def wait(seconds: float = LONG) -> None:
    """Wait in steps, as work does that is interrupted between two of them."""
    for _ in range(round(seconds * 100)):
        time.sleep(0.01)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_with_one_line_and_handlers_are_put_back(
    number, handlers, capsys
):
    hook = sys.unraisablehook

    def action() -> None:
        signal.raise_signal(number)
        wait()

    assert exit_status("name", action, "go on") == 130
    assert capsys.readouterr().err == "name: stopped; go on\n"
    assert [signal.getsignal(each) for each in SIGNALS] == handlers
    assert sys.unraisablehook is hook


def test_a_signal_while_handlers_are_set_leaves_none_of_them(handlers, monkeypatch):
    hook, begun = sys.unraisablehook, []

    class Early(Stop):
        def listen(self) -> None:
            super().listen()
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("embed_jax.exit_status.Stop", Early)
    assert exit_status("name", lambda: begun.append(True), "go on") == 130
    assert not begun
    assert [signal.getsignal(each) for each in SIGNALS] == handlers
    assert sys.unraisablehook is hook


def test_what_whoever_started_us_ignores_stays_ignored(capsys):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def action() -> None:
        signal.raise_signal(signal.SIGHUP)

    assert exit_status("name", action, "go on") == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert capsys.readouterr().err == ""


def test_in_a_thread_no_signal_is_heard_and_no_handler_changes(handlers):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(exit_status("name", lambda: None, "go on"))
    )
    thread.start()
    thread.join()
    assert found == [0]
    assert [signal.getsignal(each) for each in SIGNALS] == handlers


def test_an_interrupt_where_python_ignores_exceptions_is_tried_again(capsys):
    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.01)

    def action() -> None:
        Finalised()
        wait()

    assert exit_status("name", action, "go on") == 130
    assert capsys.readouterr().err == "name: stopped; go on\n"


def test_what_a_library_makes_of_an_interrupt_is_a_stop(capsys):
    def action() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            wait()
        except KeyboardInterrupt as error:
            raise RuntimeError("Event loop is closed") from error

    assert exit_status("name", action, "go on") == 130
    assert capsys.readouterr().err == "name: stopped; go on\n"


def test_work_that_polls_is_not_interrupted_once_it_does(capsys):
    seen = []

    def action() -> int:
        with noting() as stop:
            seen.append(stop())
            signal.raise_signal(signal.SIGHUP)
            time.sleep(0.02)
            seen.append(stop())
        return 130

    assert exit_status("name", action, "go on") == 130
    assert seen == [False, True]
    # It has said itself what it saved.
    assert capsys.readouterr().err == ""


def test_work_that_does_not_poll_yet_is_interrupted(capsys):
    def action() -> None:
        with noting():
            signal.raise_signal(signal.SIGTERM)
            wait()

    assert exit_status("name", action, "go on") == 130
    assert capsys.readouterr().err == "name: stopped; go on\n"


def test_a_signal_twice_within_an_instant_is_one(capsys):
    cleaned = []

    def action() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            wait()
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    assert exit_status("name", action, "go on") == 130
    assert cleaned == [True]
    assert capsys.readouterr().err == "name: stopped; go on\n"


# What ends a process is tried in one of its own.

_SLOW_TO_STOP = """
import os, signal, sys, time
from embed_jax.commands import starting
starting.begin()
from embed_jax.exit_status import exit_status

def action():
    try:
        os.kill(os.getpid(), signal.{first})
        time.sleep(60)
    finally:
        time.sleep(0.7)
        os.kill(os.getpid(), signal.{second})
        time.sleep({rest})

sys.exit(exit_status("name", action, "go on"))
"""
_BEFORE_IT_BEGINS = """
import os, signal, time
from embed_jax.commands import starting
starting.begin()
os.kill(os.getpid(), signal.{first})
time.sleep(60)
"""
_AFTER_ITS_END = """
import os, signal, sys, time
from embed_jax.commands import starting
starting.begin()
from embed_jax.exit_status import exit_status
status = exit_status("name", lambda: 2, "go on")
os.kill(os.getpid(), signal.{first})
time.sleep(60)
"""

_WHILE_PYTHON_ENDS = """
import os, signal, sys
from embed_jax.commands import starting
starting.begin()
from embed_jax.exit_status import exit_status

class Late:
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.{first}):
        kill(me, number)

late = Late()  # taken down with this module, after the handlers
sys.exit(exit_status("name", lambda: {status}, "go on"))
"""

_A_THREAD_GOES_ON = """
import logging, sys, threading
from concurrent.futures import ThreadPoolExecutor
from embed_jax.commands import starting
starting.begin()
from embed_jax.exit_status import exit_status

pool = ThreadPoolExecutor()

def at_work(is_logged):
    threading.main_thread().join()
    try:
        pool.submit(print)
    except RuntimeError:
        if not is_logged:
            raise
        logging.exception("it failed")

def action():
    for is_logged in (False, True):
        threading.Thread(target=at_work, args=[is_logged]).start()
    {ends}

sys.exit(exit_status("name", action, "go on"))
"""


def run(code: str, **names: object) -> tuple[int, str]:
    """Run Python code; return its status, and what it said."""

    def as_in_a_terminal() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    ended = subprocess.run(
        [sys.executable, "-c", code.format(**names)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONG,
        preexec_fn=as_in_a_terminal,
    )
    return ended.returncode, ended.stderr


def test_another_signal_ends_it_at_once():
    names = {"first": "SIGINT", "second": "SIGTERM", "rest": 60}
    assert run(_SLOW_TO_STOP, **names) == (130, "name: stopped at once; go on\n")


def test_a_terminal_that_goes_is_no_second_wish():
    names = {"first": "SIGTERM", "second": "SIGHUP", "rest": 0}
    assert run(_SLOW_TO_STOP, **names) == (130, "name: stopped; go on\n")


@pytest.mark.parametrize("first", ["SIGINT", "SIGHUP"])
def test_before_it_begins_and_after_its_end_it_is_silent(first):
    assert run(_BEFORE_IT_BEGINS, first=first) == (130, "")
    assert run(_AFTER_ITS_END, first=first) == (2, "")


@pytest.mark.parametrize("status", [0, 2])
@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_python_ends_changes_nothing(first, status):
    assert run(_WHILE_PYTHON_ENDS, first=first, status=status) == (status, "")


def test_a_thread_that_fails_because_of_a_stop_says_nothing():
    stopped = run(_A_THREAD_GOES_ON, ends="raise KeyboardInterrupt")
    assert stopped == (130, "name: stopped; go on\n")


def test_a_thread_that_fails_for_itself_says_so():
    status, said = run(_A_THREAD_GOES_ON, ends="return 0")
    assert status == 0
    assert said.count("\nRuntimeError: cannot schedule new futures") == 2
