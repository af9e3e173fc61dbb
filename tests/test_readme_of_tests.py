# SPDX-License-Identifier: Apache-2.0
"""The tests that README.md names are there."""

import re
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"^\| .* \| (?P<tests>.*`[\w/]+\.py::.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`(?:(?P<file>[\w/]+\.py)::)?(?P<test>test_\w+)`")


def test_every_test_that_is_named_exists():
    rows = ROW.findall((HERE / "README.md").read_text("utf-8"))
    assert len(rows) > 40
    for row in rows:
        file = ""
        for found in NAMED.finditer(row):
            # Without a file it is of the one before.
            file = found["file"] or file
            text = (HERE / file).read_text("utf-8")
            assert f"def {found['test']}(" in text, f"{file}::{found['test']}"
