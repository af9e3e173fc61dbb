# SPDX-License-Identifier: Apache-2.0
"""Processes that are forked: what they give back, and that a kill finds them."""

import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.forked import Child
from benchmarks.small_commands import VECTORS, differences

# This process has started jax; a fork of it must not touch that.


def test_a_value_and_what_was_said_come_back(tmp_path: Path):
    def speak() -> list[float]:
        os.write(2, b"a word\n")
        return [1, 0.1]

    child = Child(speak, tmp_path / "said")
    assert child.result() == [1, 0.1]
    assert child.said() == "a word\n"


def test_the_status_of_an_exit_and_an_error_are_told_apart(tmp_path: Path):
    def leave() -> None:
        sys.exit(2)

    def fail() -> None:
        raise ValueError("this is why")

    assert Child(leave, tmp_path / "said").result() == 2
    with pytest.raises(RuntimeError, match="this is why"):
        Child(fail, tmp_path / "said").result()


def test_a_kill_says_whether_it_came_in_time(tmp_path: Path):
    child = Child(lambda: time.sleep(600), tmp_path / "said")
    assert not child.wait(0.01)
    assert child.kill()
    child = Child(lambda: 0, tmp_path / "said")
    assert child.wait(60)
    assert not child.kill()


def test_what_differs_is_named():
    one = {"a": 1, VECTORS: [[0.5, 1.0]]}
    assert differences(one, one | {VECTORS: [[0.5, 1.0 + 1e-7]]}) == []
    assert differences(one, one | {VECTORS: [[0.5, 1.001]]}) == [VECTORS]
    assert differences(one, one | {VECTORS: []}) == [VECTORS]
    assert differences(one, {"a": 2, "b": 1, VECTORS: one[VECTORS]}) == ["a", "b"]
