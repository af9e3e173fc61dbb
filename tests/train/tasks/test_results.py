import json
from pathlib import Path

import pandas
import pytest

from train.tasks.results import (
    Row,
    format_score,
    read_rows,
    seeds_output,
    write_results,
    write_seeds,
)

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


def test_a_table_has_a_line_for_each_spec_and_seed(tmp_path: Path):
    path = tmp_path / "seeds.csv"
    tables = {
        "pos": (
            [
                Row("most frequent tag", {"test": (50.0,)}),
                Row("layer 0", {"dev": (60.0, 61.5), "test": (70.0, 71.0)}),
                Row("mean(1,2)", {"dev": (1.0, 2.0), "test": (3.0, 4.0)}),
            ],
            7,
        ),
        "sts": ([Row("layer 0, cls", {"Spearman": (0.5,)}), Row("none", {})], None),
    }
    write_seeds(path, tables)
    assert path.read_text().splitlines()[3] == "pos,0,8,71.0,61.5,"
    read = pandas.read_csv(path)
    assert [*read.columns] == ["task", "spec", "seed", "test", "dev", "Spearman"]
    assert read.spec.tolist() == [
        "most frequent tag",
        *("0", "0"),
        *("mean(1,2)", "mean(1,2)"),
        "0, cls",
    ]
    assert read.seed.fillna(-1).tolist() == [7, 7, 8, 7, 8, -1]
    assert read.dev.fillna(-1).tolist() == [-1, 60, 61.5, 1, 2, -1]
    with seeds_output(path):  # one of its own is replaced
        write_seeds(path, tables)


def test_a_table_of_somebody_else_is_not_replaced(tmp_path: Path):
    path = tmp_path / "seeds.csv"
    path.write_text("a,b\n1,2\n")
    with (
        pytest.raises(FileExistsError, match="is not a table of seeds"),
        seeds_output(path),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r"its name must end in .csv"),
        seeds_output(tmp_path / "seeds.txt"),
    ):
        pass
    with seeds_output(None):
        pass
