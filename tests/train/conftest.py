# SPDX-License-Identifier: Apache-2.0
"""A corpus that is prepared once, and programs that are compiled once."""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CoroutineType
from weakref import WeakSet

import pytest

from tests.train.experiments import kept_compilations, prepare_data


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A small corpus, prepared for both kinds of model; only read."""
    path = tmp_path_factory.mktemp("corpus")
    prepare_data(path)
    return path


@pytest.fixture(scope="module")
def compilations(tmp_path_factory) -> Iterator[Path]:
    """Compile quickly, and a step only once; gives the folder of the programs."""
    path = tmp_path_factory.getbasetemp() / "compiled"
    with kept_compilations(path):
        yield path


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """Have Ctrl-C heard where a shell in the background had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def swept_up(caplog, monkeypatch) -> Iterator[None]:
    """Collect in the test itself what Orbax leaves where a file fails.

    That is coroutines that nobody awaits, and tasks whose event loop is closed. Python
    complains of them when it finds them, be it in a later test. Where 3.11 finds them
    in the middle of `ast.parse`, that fails with "AST constructor recursion depth
    mismatch", for a complaint shows lines, which are parsed too.
    """
    kinds = {CoroutineType, asyncio.Future, asyncio.Task}
    known_texts = "Event loop is closed", "was never awaited"

    def unfinished() -> list:
        return [thing for thing in gc.get_objects() if type(thing) in kinds]

    before, complain = WeakSet(unfinished()), sys.unraisablehook

    def ignore(unraisable) -> None:
        text = str(unraisable.exc_value)
        # One that waits for a file raises the error of that file when it is closed.
        code = getattr(unraisable.object, "cr_code", None)
        is_orbax = code is not None and "orbax" in code.co_filename
        if not is_orbax and not any(known in text for known in known_texts):
            complain(unraisable)

    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", ignore)
        yield
        # Threads of Orbax may still be about to fail.
        deadline = time.monotonic() + 20
        while True:
            # An error that was logged holds the task that failed.
            for phase in ("call", "teardown"):
                caplog.get_records(phase).clear()
            gc.collect()
            if all(thing in before for thing in unfinished()):
                break
            assert time.monotonic() < deadline, "what Orbax has left is still held"
            time.sleep(0.1)
