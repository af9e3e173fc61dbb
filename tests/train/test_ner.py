import json
from pathlib import Path

import pytest

from tests.train.tiny_models import save_bert
from train import ner
from train.ner import rows_for
from train.tasks import trained_specs
from train.tasks.conll import read_conll

SENTENCES = [
    "the\tO\nbank\tB-ORG\nof\tI-ORG\nit\tI-ORG\n",
    "we\tO\nsat\tO\n",
    "a\tO\nriver\tB-LOC\nbank\tI-LOC\n",
]
SMALL = ["--cell-dim", "4", "--num-epochs", "1", "--num-seeds", "2", "--jobs", "1"]


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(save_bert(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "towns"
    folder.mkdir()
    for name in ("train", "dev", "test"):
        (folder / f"{name}.conll").write_text("\n".join(SENTENCES))
    return folder


def _arguments(data: Path, model: Path, *more: str) -> list[str]:
    paths = {"model": model, "data": data}
    paths |= {"output": data.parent / "results", "cache": data.parent / "cache"}
    options = [
        text for name, path in paths.items() for text in (f"--{name}", str(path))
    ]
    return ["ner_small", *options, *SMALL, *more]


def test_the_table_of_a_model(
    data: Path,
    tiny_bert: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    results = data.parent / "results"
    predictions = ["--predictions", str(data.parent / "found")]
    arguments = _arguments(data, tiny_bert, "--layers", "last", "mix(all)")
    assert ner.main([*arguments, *predictions]) == 0
    table = capsys.readouterr().out
    assert "| last |" in table
    assert "shares" in table
    stem = f"ner-towns-{tiny_bert.name}"
    record = json.loads((results / f"{stem}.json").read_text())
    assert [row["name"] for row in record["rows"]] == ["last", "mix(all)"]
    assert len(record["rows"][0]["scores"]["test F1"]) == 2
    assert "--layers last 'mix(all)'" in record["command"]
    found = read_conll(data.parent / "found/mix(all).conll", column=1)
    assert [sentence.words for sentence in found][1] == ("we", "sat")
    assert found[0].tags == ("O", "B-ORG", "I-ORG", "I-ORG")

    # What was trained is not trained again, unless one asks for it.
    monkeypatch.setattr(trained_specs, "train_taggers", None)
    before = (results / f"{stem}.md").read_text().splitlines()[:9]
    assert ner.main(arguments) == 0
    after = (results / f"{stem}.md").read_text().splitlines()[:9]
    assert before[5:] == after[5:]
    with pytest.raises(TypeError):
        ner.main([*arguments, "--retrain"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--layers", "last5"], 'no layer name "last5"'),
        (["--layers", "mix(last4)"], "layers 0..2"),
        (["--context", "much"], "context much: a number"),
        (["--data", "absent"], "absent: no such folder"),
        (["--model", "absent"], "absent"),
    ],
)
def test_what_cannot_be_is_one_line(
    data: Path,
    tiny_bert: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    message: str,
):
    status = ner.main([*_arguments(data, tiny_bert), *change])
    assert status == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("train.ner: ")


def test_rows_of_the_papers():
    assert rows_for((), 12) == ner.TABLE_7
    # Of a model with four blocks, two rows are the same.
    assert "mix(blocks)" not in rows_for((), 4)
    assert rows_for(("last", "-1", "0"), 12) == ("last", "0")
