# SPDX-License-Identifier: Apache-2.0
import subprocess
from pathlib import Path

import pytest

from benchmarks.slips import copies, draw, results, runner
from benchmarks.slips.__main__ import ROOT, lost_slips
from benchmarks.slips.chosen import SLIPS
from benchmarks.slips.find import NotFoundError, make, read_source
from benchmarks.slips.slip import Slip
from benchmarks.slips.verdict import judge

FILE = Path("train/some.py")


def changed(before: str, after: str, text: str, places: int = 1) -> str:
    slip = Slip("some behaviour", before, after, tests=(), places=places)
    return make(slip, {FILE: read_source(text)})[FILE]


def test_every_slip_can_be_made():
    assert lost_slips(SLIPS, ROOT) == []


def test_every_slip_is_of_another_behaviour():
    assert len({slip.behaviour for slip in SLIPS}) == len(SLIPS) >= 100


def test_a_text_is_found_however_its_lines_are_broken():
    text = "def f():\n    return g(\n        1,  # one\n        2,\n    )\n"
    assert changed("return g(1, 2)", "return g(1)", text) == (
        "def f():\n    return g(1)\n"
    )


def test_lines_that_are_put_in_keep_their_places_to_each_other():
    text = "def f(x):\n    if x:\n        return 1\n    return 2\n"
    before = """
            if x:
                return 1
    """
    after = """
            if x:
                if not x:
                    return 3
    """
    assert changed(before, after, text) == (
        "def f(x):\n    if x:\n        if not x:\n            return 3\n    return 2\n"
    )


def test_a_line_further_out_than_the_first_one_stays_so():
    text = "x = [\n    1,\n    2,\n]\ny = 3\n"
    assert changed("    2\n]\ny = 3", "    3\n]\ny = 4", text) == (
        "x = [\n    1,\n    3\n]\ny = 4\n"
    )


def test_part_of_a_name_is_not_the_name():
    with pytest.raises(NotFoundError, match="found 0 times"):
        changed("size = 1", "size = 2", "block_size = 1\n")


def test_a_text_that_stands_in_two_places_is_refused_unless_told():
    with pytest.raises(NotFoundError, match=r"found 2 times, not 1 \(train/some.py\)"):
        changed("f(1)", "f(2)", "f(1)\ng(f(1))\n")
    assert changed("f(1)", "f(2)", "f(1)\ng(f(1))\n", places=2) == "f(2)\ng(f(2))\n"


@pytest.mark.parametrize("after", ["return (", "return 1"], ids=["broken", "the same"])
def test_a_slip_that_is_no_slip_is_refused(after):
    with pytest.raises(SyntaxError):
        changed("return 1", after, "def f():\n    return 1\n")


@pytest.mark.parametrize(
    ("status", "output", "result"),
    [
        (0, "3 passed", "not caught"),
        (5, "3 deselected", "not caught"),
        (1, "FAILED tests/a.py::test_b - assert 1 == 2", "caught"),
        (1, "E   NameError: f\nFAILED tests/a.py::test_b - NameError: f", "caught"),
        (1, "E   ValueError: no\nERROR tests/a.py - ValueError: no", "caught"),
        (1, "E   ImportError: f\nERROR tests/a.py - ImportError: f", "broken"),
        # What a program logs is no line of the summary.
        (0, "ERROR    absl:future.py:387 no space\n3 passed", "not caught"),
        (2, "Interrupted", "broken"),
        (4, "no such file", "broken"),
        (copies.OUT_OF_TIME, "...", "broken"),
    ],
)
def test_only_a_failing_test_has_noticed_a_slip(status, output, result):
    assert judge(copies.Finished(status, output)).result == result


def test_the_test_that_noticed_is_named_and_not_what_a_program_logged():
    """By its name it is run again without the slip."""
    output = "ERROR    absl:future.py:387 no space\nFAILED tests/a.py::test_b[1] - no"
    verdict = judge(copies.Finished(1, output))
    assert (verdict.result, verdict.why) == (
        "caught",
        "FAILED tests/a.py::test_b[1] - no",
    )
    assert verdict.test == "tests/a.py::test_b"


SMALL = {
    "train/adder.py": (
        "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return 2 * a\n"
    ),
    "tests/test_adder.py": (
        "import pytest\nfrom train.adder import add, twice\n\n"
        "def test_add():\n    assert add(1, 2) == 3\n\n"
        "@pytest.mark.slow\ndef test_twice():\n    assert twice(2) == 4\n"
    ),
    "pyproject.toml": "[tool.pytest.ini_options]\nmarkers = ['slow', 'gpu']\n",
}
ADDS = Slip("it adds", "a + b", "a - b", ("tests/test_adder.py", "tests/gone.py"))
DOUBLES = Slip("it doubles", "2 * a", "3 * a", ("tests/test_adder.py",))
GONE = Slip("it divides", "a / b", "b / a", ("tests/test_adder.py",))
SAME = Slip("any order", "a + b", "b + a", ("tests",), equivalent="sums commute")


@pytest.fixture(scope="module")
def small_tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("small")
    for name, text in SMALL.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, "utf-8")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def made(root: Path, output: Path, slips: list[Slip], *, with_slow: bool = False):
    held = results.Results(output)
    limits = runner.Limits(jobs=1, seconds=60, compilations=None)
    runner.Round(root, held, limits).run(slips, with_slow=with_slow)
    return {result.behaviour: result for result in held.of(slips)}


def test_a_round_says_what_each_slip_came_to(small_tree, tmp_path, monkeypatch):
    # Plugins take seconds to load, and nothing here needs one.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    slips = [ADDS, DOUBLES, GONE, SAME]
    found = made(small_tree, tmp_path / "out.json", slips, with_slow=True)
    assert {name: result.result for name, result in found.items()} == {
        "it adds": "caught by fast",
        "it doubles": "caught by slow",
        "it divides": "not applicable",
        "any order": "equivalent",
    }
    assert "test_add" in found["it adds"].why
    assert found["it adds"].missing == ["tests/gone.py"]
    # The working tree is as it was.
    assert (small_tree / "train/adder.py").read_text("utf-8") == SMALL["train/adder.py"]

    # Going on runs nothing again, which a test that fails now would show.
    test = small_tree / "tests/test_adder.py"
    test.write_text("def test_nothing():\n    assert False\n", "utf-8")
    known = [ADDS, DOUBLES, SAME]
    again = made(small_tree, tmp_path / "out.json", known, with_slow=True)
    assert again == {slip.behaviour: found[slip.behaviour] for slip in known}
    # And a test that fails without a slip has noticed none.
    (other,) = made(small_tree, tmp_path / "other.json", [ADDS]).values()
    assert other.result == "broken"
    assert "test_nothing fails without a slip" in other.why


def test_the_report_counts_what_was_judged_and_lists_the_rest():
    slips = [ADDS, DOUBLES, GONE]
    of = ["caught by fast", "not caught", "not applicable"]
    found = [
        results.Result(slip.behaviour, result, "so", slip.before, slip.after)
        for slip, result in zip(slips, of, strict=True)
    ]
    found[0].files, found[1].files = ["train/adder.py"], ["train/adder.py"]
    report = results.write_report(found)
    assert "\nall              50%" in report
    assert "not caught:\n  it doubles [train/adder.py]" in report
    assert "not applicable:\n  it divides: so" in report


def test_code_is_drawn_once_for_each_function(tmp_path):
    text = (
        '"""Text."""\n\nimport os\n\nX = 1\n\n\n'
        'def f():\n    """Text."""\n    # Why.\n    a = 1\n    return a\n'
    )
    (tmp_path / "train").mkdir()
    (tmp_path / "train/some.py").write_text(text, "utf-8")
    options = draw.Options(number=20)
    drawn = list(draw.draw(tmp_path, options))
    assert [name for _, name, _ in drawn] == ["f", "module"]
    lines = [line for _, line in draw.code_lines(tmp_path / "train/some.py")]
    assert lines == [5, 8, 11, 12]
    assert list(draw.draw(tmp_path, options)) == drawn
