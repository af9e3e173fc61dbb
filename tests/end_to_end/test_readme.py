# SPDX-License-Identifier: Apache-2.0
"""The README says what happens."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python run\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.weights
@pytest.mark.parametrize("program", PROGRAMS)
def test_examples_print_what_their_last_comment_says(program, trained, tmp_path):
    (tmp_path / "models").mkdir()
    model = tmp_path / "models/all-MiniLM-L6-v2"
    model.symlink_to(trained("all-MiniLM-L6-v2"), target_is_directory=True)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == program.strip().splitlines()[-1].removeprefix("# ")


def test_there_are_examples_and_the_commands_that_ci_runs():
    assert len(PROGRAMS) == 2
    for name in ("main", "test", "serve"):
        assert re.search(rf"^```sh {name}\n(.+\n)+```$", README, re.MULTILINE)


def test_files_that_the_reading_order_names_exist():
    order = README.split("## Where to read on")[1]
    names = re.findall(r"`([\w/.-]+\.(?:py|md))`", order)
    folder = ""
    for name in names:
        path = REPOSITORY / name
        if not path.exists():
            path = REPOSITORY / folder / name
        assert path.exists(), name
        folder = str(path.parent.relative_to(REPOSITORY))
