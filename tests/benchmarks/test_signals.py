# SPDX-License-Identifier: Apache-2.0
"""The benchmark that disturbs commands: how it judges, and a few of its moments."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.signalled_commands import COMMANDS, Signalled
from benchmarks.signals import Place, faults

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("status", "said", "fault"),
    [
        (130, "name: stopped; go on\n", []),
        (None, "", ["it does not end"]),
        (-15, "", ["its status is -15"]),
        (130, "Traceback (most recent call last):\n", ["it says Traceback"]),
        (130, "a: stopped\na: stopped at once\n", ["2 lines on its end"]),
        (0, "", ["it wrote other what"]),
    ],
)
def test_what_came_of_it_is_judged(tmp_path, status, said, fault):
    command = Signalled("name", lambda inputs, out: [], lambda out: {"what": 1})
    place = Place(command, tmp_path, tmp_path)
    place.expected = {"what": 2}
    assert list(faults(place, status, said, (0, 130))) == fault


def test_every_command_is_disturbed():
    """Those of tests/end_to_end/test_exit.py, but for plan, which needs libtpu."""
    names = {each.name.split(",")[0].removesuffix(" --help") for each in COMMANDS}
    modules = {
        path.stem
        for path in (ROOT / "train").glob("*.py")
        if '\nif __name__ == "__main__":' in path.read_text("utf-8")
    }
    assert {f"train.{name}" for name in modules} <= names


@pytest.mark.slow
def test_signals_at_random_moments_end_commands_as_is_documented():
    line = [sys.executable, "-m", "benchmarks.signals", "--moments", "6", "--seed", "1"]
    done = subprocess.run(
        [*line, "--only", "pretrain, bert", "nearest", "serve"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
