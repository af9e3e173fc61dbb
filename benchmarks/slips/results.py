# SPDX-License-Identifier: Apache-2.0
"""What was found of each slip, in a file that a later round goes on with."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock

from benchmarks.slips.slip import Slip
from embed_jax.files.output_file import open_output

CAUGHT = ("caught by fast", "caught by slow")
RESULTS = (*CAUGHT, "not caught", "equivalent", "not applicable", "broken")


@dataclass
class Result:
    """What was found of one slip.

    Attributes:
      behaviour: of the slip.
      result: one of `RESULTS`.
      why: what says so: the test that failed, the reason of an equivalent.
      before, after: of the slip; where they have changed since, it is made again.
      tests: that were run.
      missing: tests that the slip names and that do not exist.
      files: where it was made.
      with_slow: whether slow tests were run too, if the fast ones did not notice.
      seconds: that all of it took.
    """

    behaviour: str
    result: str
    why: str
    before: str
    after: str
    tests: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    with_slow: bool = False
    seconds: float = 0.0


class Results:
    """Results by behaviour, written to a file whenever there is one more."""

    def __init__(self, path: Path | None) -> None:
        """Go on with a file, if it exists."""
        self._path, self._lock = path, Lock()
        self._held: dict[str, Result] = {}
        if path and path.exists():
            for record in json.loads(path.read_text("utf-8")):
                self._held[record["behaviour"]] = Result(**record)

    def without_result(self, slips: Iterable[Slip]) -> list[Slip]:
        """Return the slips that are to be made, for the first time or anew."""
        return [slip for slip in slips if not self._is_known(slip)]

    def not_yet_slow(self, slips: Iterable[Slip]) -> list[Slip]:
        """Return the slips that fast tests do not notice, and slow ones did not see."""
        missed = {
            held.behaviour
            for held in self._held.values()
            if held.result == "not caught" and not held.with_slow
        }
        return [slip for slip in slips if slip.behaviour in missed]

    def forget(self, slips: Iterable[Slip]) -> None:
        """Hold no results of these any more."""
        for slip in slips:
            self._held.pop(slip.behaviour, None)

    def _is_known(self, slip: Slip) -> bool:
        held = self._held.get(slip.behaviour)
        if held is None or held.result in ("broken", "not applicable"):
            return False
        is_equivalent = held.result == "equivalent"
        is_same = (held.before, held.after) == (slip.before, slip.after)
        return is_same and is_equivalent == bool(slip.equivalent)

    def add(self, result: Result) -> None:
        """Hold a result and write all of them."""
        with self._lock:
            self._held[result.behaviour] = result
            if self._path:
                records = [asdict(held) for held in self._held.values()]
                text = json.dumps(records, indent=1, ensure_ascii=False) + "\n"
                with open_output(self._path) as file:
                    file.write(text.encode())

    def of(self, slips: Iterable[Slip]) -> list[Result]:
        """Return the results of these slips, as far as there are any."""
        return [
            self._held[slip.behaviour] for slip in slips if slip.behaviour in self._held
        ]


def write_report(results: list[Result]) -> str:
    """Count by package, and list what a reader must look at."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        package = result.files[0].split("/")[0] if result.files else "nowhere"
        counts[package][result.result] += 1
        counts["all"][result.result] += 1
    counts["all"] = counts.pop("all", Counter())  # the last line
    lines = [f"{'':10}{'caught':>10}" + "".join(f"{name:>16}" for name in RESULTS)]
    for package, found in counts.items():
        caught = sum(found[name] for name in CAUGHT)
        judged = caught + found["not caught"]
        share = f"{caught / judged:.0%}" if judged else "-"
        lines.append(
            f"{package:10}{share:>10}"
            + "".join(f"{found[name]:16}" for name in RESULTS)
        )
    for name in ("not caught", "broken", "not applicable"):
        of_kind = [result for result in results if result.result == name]
        lines += [f"\n{name}:"] if of_kind else []
        for result in of_kind:
            where = f" [{', '.join(result.files)}]" if result.files else ""
            reason = f": {result.why}" if name != "not caught" else ""
            lines.append(f"  {result.behaviour}{where}{reason}")
    missing = sorted({name for result in results for name in result.missing})
    if missing:
        lines += ["\ntests that slips name and that do not exist:"]
        lines += [f"  {name}" for name in missing]
    return "\n".join(lines)
