# SPDX-License-Identifier: Apache-2.0
"""A corpus that is prepared once, and programs that are compiled once."""

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.compilations import compile_quickly, compiling_quickly
from tests.train.experiments import prepare_data


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A small corpus, prepared for both kinds of model; only read."""
    path = tmp_path_factory.mktemp("corpus")
    prepare_data(path)
    return path


@pytest.fixture(scope="module", autouse=True)
def compilations() -> Iterator[None]:
    """Compile quickly: what is tested here is what is computed, not how fast."""
    with compiling_quickly():
        yield


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """Have Ctrl-C heard where a shell in the background had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def elsewhere(compilations) -> Iterator[Executor]:
    """A process of its own, for calls in which Orbax fails at a file.

    Orbax leaves coroutines that nobody awaits, and tasks whose event loop is closed.
    Python complains of them when it finds them, be it in a later test, and 3.11 may
    find them in the middle of `ast.parse`, which then fails.
    """
    with ProcessPoolExecutor(
        1,
        mp_context=get_context("spawn"),
        initializer=compile_quickly,
    ) as pool:
        yield pool
