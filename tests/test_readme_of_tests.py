# SPDX-License-Identifier: Apache-2.0
"""The tests that README.md and pages of decisions name are there."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DECISIONS = HERE.parent / "docs/decisions"
ROW = re.compile(r"^\| .* \| (?P<tests>.*`[\w/]+\.py::.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`(?:(?P<file>[\w/]+\.py)::)?(?P<test>test_\w+)`")


@pytest.mark.parametrize(
    ("page", "least"),
    [
        (HERE / "README.md", 40),
        (DECISIONS / "at-home.md", 30),
        (DECISIONS / "second-look.md", 38),
    ],
)
def test_every_test_that_is_named_exists(page, least):
    rows = ROW.findall(page.read_text("utf-8"))
    assert len(rows) > least
    for row in rows:
        file = ""
        for found in NAMED.finditer(row):
            # Without a file it is of the one before.
            file = found["file"] or file
            text = (HERE / file).read_text("utf-8")
            assert f"def {found['test']}(" in text, f"{file}::{found['test']}"
