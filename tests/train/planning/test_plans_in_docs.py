# SPDX-License-Identifier: Apache-2.0
"""The table of plans in docs/scaling.md follows from its own figures."""

import re

import pytest

from tests.conftest import REPOSITORY
from train.planning.hardware import CHIPS

# bert_base, v5e | rows x length | memory | computes | large memory | … | least | …
_ROW = re.compile(
    r"\| (?P<name>[^|]*) \| [\d ]+x \d+ \| (?P<memory>[\d.]+) GB "
    r"\| (?P<tera>[\d.]+) TFLOP \| (?P<giga>[\d.]+) GB \| [^|]*"
    r"\| (?P<ms>[\d.]+) ms, (?P<bound>\w+) \| (?P<use>\d+) / \d+ % \|"
)


def rows() -> list[tuple[str, dict[str, str]]]:
    """Return the rows of the table; where a row has no name, it is the one above's."""
    found, name = [], ""
    for line in (REPOSITORY / "docs/scaling.md").read_text().splitlines():
        if row := _ROW.fullmatch(line):
            name = row["name"].strip() or name
            found.append((name, row.groupdict()))
    return found


@pytest.mark.parametrize(("name", "row"), rows())
def test_the_least_time_is_the_longest_of_what_it_computes_and_moves(name, row):
    chip = CHIPS[f"TPU {name.split(', ')[1]}"]
    times = {
        "compute": 1e15 * float(row["tera"]) / chip.flops,
        "memory": 1e12 * float(row["giga"]) / chip.bandwidth,
    }
    assert row["bound"] == max(times, key=lambda which: times[which])
    assert float(row["ms"]) == pytest.approx(max(times.values()), rel=0.01)
    assert float(row["memory"]) * 1e9 < chip.memory
    assert 0 < int(row["use"]) < 100


def test_all_rows_are_read():
    names = {name.partition(",")[0] for name, _ in rows()}
    assert names == {"bert_base", "bert_large", "elmo_original"}
    assert len(rows()) >= 15
