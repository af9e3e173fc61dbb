# SPDX-License-Identifier: Apache-2.0
"""Tell from a run of tests whether they noticed a slip."""

import re
from typing import Literal, NamedTuple

from benchmarks.slips.copies import OUT_OF_TIME, Finished

# Exceptions of a slip that is no Python, or names what is not there: anyone sees them.
_CLUMSY = ("SyntaxError", "IndentationError", "ImportError", "ModuleNotFoundError")
_CLUMSY += ("NameError",)


class Verdict(NamedTuple):
    """Whether the tests noticed, the line that says so, and the test that failed."""

    result: Literal["caught", "not caught", "broken"]
    why: str
    test: str = ""


def judge(finished: Finished) -> Verdict:
    """Judge a run with `-x`.

    A file of tests that cannot even be imported has noticed the slip if a check of the
    program's own stopped it, and not if the slip is no proper program.
    """
    failed = re.findall(r"^(?:FAILED|ERROR) \S.*$", finished.output, re.MULTILINE)
    why = failed[0][:300] if failed else _last_line(finished.output)
    match finished.status:
        case 0:
            return Verdict("not caught", why)
        case 5:
            return Verdict("not caught", "no such test")
        case 1 if failed and "::" not in failed[0].split(" - ")[0]:
            is_clumsy = any(f"{name}:" in finished.output for name in _CLUMSY)
            return Verdict("broken" if is_clumsy else "caught", why)
        case 1:
            return Verdict("caught", why, _name_of(failed[0] if failed else ""))
        case status if status == OUT_OF_TIME:
            return Verdict("broken", "took too long")
    return Verdict("broken", f"exit status {finished.status}: {why}")


def _name_of(line: str) -> str:
    """Return the test that a line of pytest's summary is about.

    Example:
      >>> _name_of("FAILED tests/test_a.py::test_b[1 - 2] - assert 0")
      'tests/test_a.py::test_b'
    """
    return line.split(" ", 1)[-1].split("[")[0].split(" - ")[0].strip()


def _last_line(output: str) -> str:
    return (output.strip().splitlines() or ["no output"])[-1][:300]
