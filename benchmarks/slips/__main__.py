# SPDX-License-Identifier: Apache-2.0
"""Make slips on purpose and see which of them the tests notice.

    python -m benchmarks.slips --check
    python -m benchmarks.slips --output slips.json --jobs 2

Each slip of the list is made by itself in a copy of the tree, whose state at this
moment counts, committed or not. A test that notices a slip is run without it too, and
must pass then. What is in the output already is not made again.
"""

import dataclasses
import re
import sys
from pathlib import Path

import tyro

from benchmarks.slips.chosen import SLIPS
from benchmarks.slips.find import NotFoundError, make, read_packages
from benchmarks.slips.results import Results, write_report
from benchmarks.slips.runner import Limits, Round
from benchmarks.slips.slip import Slip

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Command:
    """Which slips are made, and how."""

    only: str = ""
    """A regular expression: slips in whose behaviour, text or tests it is found."""
    list: bool = False
    """Print the slips and do nothing."""
    check: bool = False
    """Only see whether the text of each slip is found and its tests exist."""
    output: Path | None = None
    """The JSON file that results are written to and gone on with."""
    again: bool = False
    """Make those again of which there are results."""
    slow: bool = False
    """Run the slow tests too on what the fast ones do not notice."""
    jobs: int = 1
    """Slips at a time; a run of tests takes a core and some."""
    limit: float = 600
    """Seconds that one file of tests may take."""
    compilations: Path | None = None
    """A folder that keeps compiled programs from slip to slip."""


def lost_slips(slips: list[Slip], root: Path) -> list[str]:
    """Say which slips cannot be made as the packages are today."""
    lost, sources = [], read_packages(root)
    for slip in slips:
        try:
            make(slip, sources)
        except (NotFoundError, SyntaxError) as error:
            lost.append(f"{slip.behaviour}: {error}")
    return lost


def lost_tests(slips: list[Slip], root: Path) -> list[str]:
    """Say which tests slips name that do not exist."""
    named = sorted({name for slip in slips for name in slip.tests})
    return [f"there is no {name}" for name in named if not (root / name).exists()]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    command = tyro.cli(
        Command, args=arguments, prog="python -m benchmarks.slips", description=__doc__
    )
    slips = [slip for slip in SLIPS if _is_meant(slip, command.only)]
    if command.list:
        for slip in slips:
            print(f"{slip.behaviour}{' (equivalent)' if slip.equivalent else ''}")
        return 0
    if command.check:
        problems = lost_slips(slips, ROOT) + lost_tests(slips, ROOT)
        print("\n".join(problems) or f"all {len(slips)} are found")
        return 1 if problems else 0
    results = Results(command.output)
    if command.again:
        results.forget(slips)
    limits = Limits(command.jobs, command.limit, command.compilations)
    Round(ROOT, results, limits).run(slips, with_slow=command.slow)
    print(f"\n{write_report(results.of(slips))}")
    return 0


def _is_meant(slip: Slip, pattern: str) -> bool:
    texts = (slip.behaviour, slip.before, *slip.tests)
    return any(re.search(pattern, text, re.IGNORECASE) for text in texts)


if __name__ == "__main__":
    sys.exit(main())
