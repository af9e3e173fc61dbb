# SPDX-License-Identifier: Apache-2.0
"""How a process ends when another one is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from embed_jax.hosts.failure import ProcessLostError, leave, noticing_lost_processes

REPOSITORY = Path(__file__).parents[3]
GLOO = "UNKNOWN: Gloo all-reduce failed: Connection reset by peer\nmore"


def fail(text: str) -> None:
    with noticing_lost_processes():
        raise ValueError(text)


def test_a_lost_connection_is_named(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ProcessLostError) as caught:
        fail(GLOO)
    assert str(caught.value) == (
        "another process is gone (UNKNOWN: Gloo all-reduce failed: Connection reset by "
        "peer); give the same command again on all hosts"
    )


def test_other_errors_stay_what_they_are(monkeypatch):
    with pytest.raises(ValueError, match="Gloo"):  # of one process none can be lost
        fail(GLOO)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="batch_size 3"):
        fail("batch_size 3 is not a multiple of 2 devices")


def test_alone_an_exit_is_an_ordinary_one():
    assert leave(2) == 2
    assert leave(0) == 0


PROGRAM = """
import os, signal, sys
from embed_jax.hosts.failure import last_words

with last_words("some last words"):
    if sys.argv[1] == "abort":
        os.abort()
    if sys.argv[1] == "raise":
        raise SystemExit(3)
"""


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [("well", 0, ""), ("raise", 3, ""), ("abort", -signal.SIGABRT, "some last words")],
)
def test_last_words_are_those_of_a_process_that_cannot_speak(ending, status, said):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ending],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert done.stderr.strip() == said
