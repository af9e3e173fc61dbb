# SPDX-License-Identifier: Apache-2.0
"""Make slips in copies of the tree, some at a time, and run the tests on each."""

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from benchmarks.slips.copies import FAST, SLOW, Copy
from benchmarks.slips.find import NotFoundError, Source, make, read_packages
from benchmarks.slips.results import Result, Results
from benchmarks.slips.slip import Slip
from benchmarks.slips.verdict import Verdict, judge


class Limits(NamedTuple):
    """How much a round may take."""

    jobs: int
    """Copies, and runs of tests at a time."""
    seconds: float
    """For a file of tests."""
    compilations: Path | None
    """A folder that keeps compiled programs."""


@dataclass
class _Plan:
    """A slip with the files that it changes and the tests that are run."""

    slip: Slip
    changed: dict[Path, str] = field(default_factory=dict)
    tests: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    result: str = ""
    why: str = ""


class Round:
    """One round over some slips."""

    def __init__(self, root: Path, results: Results, limits: Limits) -> None:
        """Read the packages of a working tree."""
        self._root, self._results, self._limits = root, results, limits
        self._sources: Mapping[Path, Source] = read_packages(root)
        self._copies: SimpleQueue[Copy] = SimpleQueue()
        self._passing: set[str] = set()

    def run(self, slips: Sequence[Slip], *, with_slow: bool) -> None:
        """Make each slip; write what was found."""
        with self._made_copies(), ThreadPoolExecutor(self._limits.jobs) as pool:
            self._run_marked(pool, self._results.without_result(slips), FAST)
            if with_slow:
                self._run_marked(pool, self._results.not_yet_slow(slips), SLOW)

    def _run_marked(
        self, pool: ThreadPoolExecutor, slips: Sequence[Slip], marked: str
    ) -> None:
        plans = [self._plan(slip) for slip in slips]
        for result in pool.map(lambda plan: self._try(plan, marked), plans):
            print(f"{result.seconds:5.0f} s  {result.result:15} {result.behaviour}")
            if result.result != "not caught":
                print(f"{'':25}{result.why}", flush=True)

    @contextmanager
    def _made_copies(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="slips-") as folder:
            for number in range(self._limits.jobs):
                # One folder deeper, so that a path such as ../shared leads nowhere.
                place = Path(folder, str(number), "tree")
                self._copies.put(Copy(self._root, place, self._limits.compilations))
            yield

    @contextmanager
    def _copy(self) -> Iterator[Copy]:
        copy = self._copies.get()
        try:
            yield copy
        finally:
            self._copies.put(copy)

    def _plan(self, slip: Slip) -> _Plan:
        plan = _Plan(slip)
        for name in slip.tests:
            there = (self._root / name).exists()
            (plan.tests if there else plan.missing).append(name)
        try:
            plan.changed = make(slip, self._sources)
        except NotFoundError as error:
            plan.result, plan.why = "not applicable", str(error)
        except SyntaxError as error:
            plan.result, plan.why = "broken", str(error)
        else:
            if slip.equivalent:
                plan.result, plan.why = "equivalent", slip.equivalent
            elif not plan.tests:
                plan.result, plan.why = "not applicable", "none of its tests exists"
        # Examples in the text of the module itself are tests as well.
        for path in plan.changed:
            if path.name != "__main__.py" and ">>> " in self._sources[path].text:
                plan.tests.append(str(path))
        plan.tests = without_parts(plan.tests)
        return plan

    def _try(self, plan: _Plan, marked: str) -> Result:
        began = time.monotonic()
        slip = plan.slip
        result = Result(
            slip.behaviour,
            plan.result,
            plan.why,
            slip.before,
            slip.after,
            plan.tests,
            plan.missing,
            [str(path) for path in plan.changed],
            with_slow=marked == SLOW,
        )
        if not plan.result:
            result.result, result.why = self._outcome(plan, marked)
        result.seconds = round(time.monotonic() - began, 1)
        self._results.add(result)
        return result

    def _outcome(self, plan: _Plan, marked: str) -> tuple[str, str]:
        """Run tests until one notices, each file by itself.

        What one file leaves behind, such as an exception that is not collected yet,
        may make the next one fail in the same process, with a slip or without.
        """
        with self._copy() as copy:
            copy.write(plan.changed)
            try:
                verdict, name = self._first_notice(copy, plan.tests, marked)
            finally:
                copy.write({path: self._sources[path].text for path in plan.changed})
            if verdict is None:
                return "not caught", ""
            if verdict.result == "broken":
                return "broken", f"{name}: {verdict.why}"
            # What fails without the slip too has noticed nothing.
            alone = verdict.test or name
            if alone not in self._passing:
                control = judge(copy.test(alone, marked, self._limits.seconds))
                if control.result != "not caught":
                    return "broken", f"{alone} fails without a slip: {control.why}"
                self._passing.add(alone)
        speed = "fast" if marked == FAST else "slow"
        return f"caught by {speed}", verdict.why

    def _first_notice(
        self, copy: Copy, tests: Iterable[str], marked: str
    ) -> tuple[Verdict | None, str]:
        for name in tests:
            verdict = judge(copy.test(name, marked, self._limits.seconds))
            if verdict.result != "not caught":
                return verdict, name
        return None, ""


def without_parts(tests: Iterable[str]) -> list[str]:
    """Leave out what lies in a folder that is named too, and what is named twice.

    Example:
      >>> without_parts(["tests/a/test_b.py", "tests/a", "tests/c.py", "tests/a"])
      ['tests/a', 'tests/c.py']
    """
    kept = list(dict.fromkeys(tests))
    return [
        name
        for name in kept
        if not any(str(parent) in kept for parent in Path(name).parents)
    ]
