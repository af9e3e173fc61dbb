"""What two families do alike is written once, in embed_jax."""

import difflib
import itertools
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 14


def lines_of(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def test_no_two_files_of_the_models_share_a_run_of_15_lines():
    files = {
        path: lines_of(path)
        for package in ("bert_jax", "elmo_jax")
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    pairs = [
        (one, other)
        for one, other in itertools.combinations(files, 2)
        if one.parent != other.parent
    ]
    assert len(pairs) > 400
    for one, other in pairs:
        matcher = difflib.SequenceMatcher(None, files[one], files[other], False)
        run = matcher.find_longest_match()
        shared = files[one][run.a : run.a + run.size]
        assert run.size <= LONGEST, f"{one.name} and {other.name} share {shared}"
