import json
from pathlib import Path

from train.tasks.results import Row, format_score, read_rows, write_results

ROWS = [
    Row("embeddings", {"dev": (1.0, 3.0), "test": (2.0, 4.0)}),
    Row("mix(all)", {"dev": (5.0, 5.0), "test": (6.0, 7.0)}, "weights 0.5 0.5"),
]


def test_files_say_the_same(tmp_path: Path):
    table = write_results(
        tmp_path / "new",
        "ner",
        title="NER",
        command="python -m train.ner",
        rows=ROWS,
        facts={"seeds": 2},
    )
    page = (tmp_path / "new/ner.md").read_text()
    assert table in page
    assert "| embeddings | 2.00 ± 1.41 | 3.00 ± 1.41 |  |" in table
    assert "python -m train.ner" in page
    assert "- seeds: 2" in page
    assert json.loads((tmp_path / "new/ner.json").read_text())["facts"] == {"seeds": 2}
    assert read_rows(tmp_path / "new/ner.json") == ROWS
    assert (tmp_path / "new/ner.png").read_bytes().startswith(b"\x89PNG")


def test_results_are_replaced(tmp_path: Path):
    for rows in (ROWS, ROWS[:1]):
        write_results(
            tmp_path, "a", title="", command="", rows=rows, facts={}, plot=False
        )
    assert read_rows(tmp_path / "a.json") == ROWS[:1]
    assert {path.name for path in tmp_path.iterdir()} == {"a.md", "a.json"}


def test_deviation_is_that_of_a_sample():
    assert format_score([1.0, 2.0, 3.0, 4.0]) == "2.50 ± 1.29"
