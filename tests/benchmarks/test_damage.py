# SPDX-License-Identifier: Apache-2.0
"""The benchmark that damages files: what it does to them, and how it judges."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.damage.changes import Damage, damage
from benchmarks.damage.verdict import Outcome, judge

CHANGED = Damage("change", "model/config.json", 3, 1, "bit")


@pytest.mark.parametrize("kind", ["truncation", "change"])
def test_one_file_is_damaged_and_the_seed_tells_how(tmp_path, kind):
    def files(folder):
        return {p.name: p.read_bytes() for p in folder.iterdir()}

    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in "abc":
            (tmp_path / name / file).write_bytes(file.encode() * 9000)
        before = files(tmp_path / name)
        found.append(damage(tmp_path / name, kind, 7, spared=("a",)))
        after = files(tmp_path / name)
        changed = [file for file in before if before[file] != after[file]]
        assert changed == [found[-1].file] != ["a"]
        shorter = len(after[found[-1].file]) < len(before[found[-1].file])
        assert shorter == (kind == "truncation")
    assert found[0] == found[1]
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize(
    ("outcome", "ours", "verdict"),
    [
        (Outcome(value="s:v"), True, "right"),
        (Outcome(value="s:w"), True, "silent"),
        (Outcome(value="s:w"), False, "values"),
        (Outcome(value="t:v"), False, "silent"),
        (Outcome(value="t:v", warnings=["config.json is odd"]), False, "warned"),
        (Outcome(value="t:v", warnings=["config.json is so"]), False, "silent"),
        (Outcome(value="t:v", warnings=["config.json is odd"]), True, "silent"),
        (Outcome(error="ValueError", message="x/config.json: cut"), True, "refused"),
        (Outcome(error="OSError", message="x/model is damaged"), True, "refused"),
        (Outcome(error="ValueError", message="something is off"), True, "unnamed"),
        (Outcome(error="KeyError", message="config.json"), True, "obscure"),
        (Outcome(error="ValueError", message="config.json\nat 3"), True, "obscure"),
        (Outcome(ended="hanging"), False, "hanging"),
    ],
)
def test_what_came_of_it_is_judged(outcome, ours, verdict):
    sound = Outcome(value="s:v", warnings=["config.json is so"])
    assert judge(CHANGED, outcome, sound, ours=ours) == verdict


@pytest.mark.slow
def test_no_damage_to_files_of_ours_is_silent_or_obscure(tmp_path):
    """A few of what the benchmark does hundreds of, of the kinds that are quick."""
    kinds = ["model:elmo saved", "store:gzip", "types", "words"]
    output = tmp_path / "faults.json"
    line = [sys.executable, "-m", "benchmarks.damage", "--count", "12", "--jobs", "1"]
    done = subprocess.run(
        [*line, "--output", output, "--only", *kinds],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(output.read_text())
    assert [result["kind"] for result in results] == kinds
    for result in results:
        assert result["faults"] == []
        assert sum(result["counts"].values()) == 24
        assert result["counts"]["refused"] >= 12
