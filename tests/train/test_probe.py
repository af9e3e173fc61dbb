# SPDX-License-Identifier: Apache-2.0
"""The command, from saved models and files to tables and a picture."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.train.tiny_models import save_bert, save_elmo
from train.probe import main
from train.tasks import similarity
from train.tasks.results import read_rows
from train.tasks.similarity import BERT_POOLINGS

WORDS = {
    "the": "DET",
    "a": "DET",
    "bank": "NOUN",
    "river": "NOUN",
    "money": "NOUN",
    "we": "PRON",
    "sat": "VERB",
    "of": "ADP",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three tasks' files under their usual names, made of a few words."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    pos, wsd, sts = (
        folder / name
        for name in ("pos_ud_english_ewt", "wsd_semcor_masc", "sts_benchmark")
    )
    for path in (pos, wsd, sts):
        path.mkdir()

    def sentence() -> list[str]:
        return random.choice(list(WORDS), random.integers(2, 7)).tolist()

    for split, count in (("train", 60), ("dev", 20), ("test", 20)):
        rows = (
            "".join(
                f"{word}\t{WORDS[word]}\t{WORDS[word][:2]}\n" for word in sentence()
            )
            for _ in range(count)
        )
        (pos / f"{split}.tsv").write_text("\n".join(rows))
    with gzip.open(wsd / "masc_noad.jsonl.gz", "wt") as file:
        for index in range(60):
            money = index % 3 == 0
            record = {
                "id": f"d{index // 5}.s{index}",
                "tokens": ["the", "money" if money else "river", "bank"],
                "pos": ["", "NOUN", "NOUN"],
                "senses": [[2, "bank", "m" if money else "r"]],
            }
            file.write(json.dumps(record) + "\n")
    for split in ("dev", "test"):
        rows = (
            f"g\tf\ty\t{i}\t{i % 6}\t{' '.join(sentence())}\t{' '.join(sentence())}\n"
            for i in range(12)
        )
        (sts / f"sts-{split}.csv").write_text("".join(rows))
    return folder


@pytest.mark.usefixtures("compilations")
@pytest.mark.parametrize("save", [save_bert, save_elmo])
def test_tables_and_picture(
    save: Callable[[Path], str],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("CONTEXTUAL_DATA", str(data))
    # Each one takes a compilation.
    two = {name: BERT_POOLINGS[name] for name in ("mean", "cls")}
    monkeypatch.setattr(similarity, "BERT_POOLINGS", two)
    path = save(tmp_path / "tiny")
    given = ["--model", path, "--output", str(tmp_path / "new/out")]
    given += ["--cache", str(tmp_path / "cache"), "--tags", "upos", "xpos"]
    given += ["--probe.num-seeds", "2", "--probe.batch-words", "8"]
    given += [
        "--probe.learning-rate",
        "0.03",
        "--layers",
        "mix(all)",
        "concat(0,2)",
        "1",
    ]
    assert main(given) == 0
    layers = ["layer 0", "layer 1", "layer 2"]
    specs = ["mix(all)", "concat(0,2)"]
    pos = read_rows(tmp_path / "new/out-pos.json")
    assert [row.name for row in pos] == ["most frequent tag", *layers, *specs]
    columns = ["UPOS dev", "UPOS test", "XPOS dev", "XPOS test"]
    assert list(pos[1].scores) == columns
    # Words that mean one thing each are told apart by what they are.
    assert pos[0].scores["UPOS test"] == (100,)
    assert min(pos[1].scores["UPOS test"]) > 95
    assert len(pos[1].scores["UPOS test"]) == 2
    assert "UPOS shares ." in pos[4].note
    wsd = {row.name: row for row in read_rows(tmp_path / "new/out-wsd.json")}
    assert list(wsd) == ["first sense", *layers, *specs]
    # The word is the same; the word before tells the senses apart.
    assert min(wsd["layer 2"].scores["MASC F1"]) == 100
    assert max(wsd["layer 0"].scores["MASC F1"]) < 100
    assert max(wsd["first sense"].scores["MASC ambiguous F1"]) < 100
    assert "plain mean" in wsd["mix(all)"].note
    sts = read_rows(tmp_path / "new/out-sts.json")
    assert len(sts) == 5 * 2
    assert "test Spearman" in sts[0].scores
    both = read_rows(tmp_path / "new/out.json")
    assert [row.name for row in both] == ["baseline", *layers, *specs]
    assert list(both[1].scores) == [
        "UPOS test",
        "XPOS test",
        "MASC F1",
        "STS-B Spearman, mean",
    ]
    assert (tmp_path / "new/out.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "new/out.md").read_text()
    assert f"python -m train.probe --model {path}" in page
    assert "(out.png)" in page
    assert "(out-wsd.md)" in page
    assert "What the layers of tiny are worth" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "pos,wds"], "no task 'wds'; did you mean \"wsd\"?"),
        (["--pos-data", "nowhere"], "nowhere: no such folder"),
        (["--wsd-data", "."], ". has none of semcor_wn30.jsonl.gz"),
        (["--layers", "mix_norm(all)"], "mix_norm takes its mean"),
        (["--layers", "mean(last4)"], "needs layer -4"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    options: list[str],
    message: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("CONTEXTUAL_DATA", str(data))
    monkeypatch.chdir(tmp_path)
    given = ["--model", save_bert(tmp_path / "tiny"), "--output", "out"]
    assert main([*given, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
