# SPDX-License-Identifier: Apache-2.0
"""The command, from saved models and files to tables and a picture."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import bert_jax
from tests.train import probe_run, quick_models
from tests.train.tiny_models import save_bert, save_elmo
from train.families.bert.family import Bert
from train.families.bert.poolings import BERT_POOLINGS
from train.probe import Command, main
from train.tasks.probes.linear_probe import train_probe
from train.tasks.probes.probing import Subject
from train.tasks.results import read_rows

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


def test_universal_tags_are_probed_for_unless_others_are_asked_for():
    assert Command(model="", output=Path("out")).tags == ("upos",)


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
    monkeypatch.setattr(Bert, "poolings", two)
    shares = np.array([0.5, 0.25, 0.25])

    def probe_with_shares(*arguments: Any) -> Any:
        outcome = train_probe(*arguments)
        return outcome._replace(mixes=(shares,)) if outcome.mixes else outcome

    monkeypatch.setattr(
        "train.tasks.probes.part_of_speech.train_probe", probe_with_shares
    )
    path = save(tmp_path / "tiny")
    given = ["--model", path, "--output", str(tmp_path / "new/out")]
    given += ["--cache", str(tmp_path / "cache"), "--tags", "upos", "xpos"]
    given += ["--probe.num-seeds", "2"]
    given += ["--layers", "mix(all)", "concat(0,2)", "1"]
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
    assert len(pos[1].scores["UPOS test"]) == 1
    assert list(pos[1].deviations) == columns
    assert "UPOS shares .50 .25 .25" in pos[4].note
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
        (["--tags"], "tags must name at least one of upos, xpos"),
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


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_models.save_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    (tmp_path / "bert").symlink_to(bert)
    return tmp_path


def measured(folder: Path, task: str, *more: str) -> probe_run.Run:
    given = f"--model bert --output out/it --tasks {task} --layers 1 --{task}-data data"
    ran = probe_run.run([*given.split(), *more], folder)
    assert ran.status == 0, ran.error
    return ran


def test_the_seed_and_those_after_it_choose_the_test_documents(folder: Path):
    """One document of five is the test: F1 says which, where each has its own."""
    # One word whose sense is known, and 0 to 4 whose lemma is nowhere else.
    documents = [
        [[("bank", "b")], [(f"x{number}y{place}", "x") for place in range(number)]]
        for number in range(5)
    ]
    documents = [[part for part in each if part] for each in documents]
    (folder / "data").mkdir()
    probe_run.write_senses(folder / "data/masc_noad.jsonl.gz", documents)
    seeds = "--probe.num-seeds", "3", "--probe.seed", "7"
    rows = measured(folder, "wsd", *seeds).tables["it-wsd"]
    chosen = [np.random.default_rng(7 + n).permutation(5)[0] for n in range(3)]
    assert len(set(chosen)) > 1
    expected = [100 / (1 + number) for number in chosen]
    for name in ("first sense", "layer 0", "layer 1"):
        assert rows[name].scores["MASC F1"] == pytest.approx(expected)
        # No lemma has two senses.
        assert "MASC ambiguous F1" not in rows[name].scores


def test_what_training_has_is_said_of_each_corpus(folder: Path):
    (folder / "data").mkdir()
    # Of two documents one is the test; both are alike: two lemmas of their own, and
    # one that both have, with the same sense once and another sense once.
    documents = [
        [[("bank", "b"), ("bank", f"s{n}"), (f"v{n}", "v"), (f"w{n}", "w")]]
        for n in range(2)
    ]
    for file in ("masc_noad", "semcor_wn30"):
        probe_run.write_senses(folder / f"data/{file}.jsonl.gz", documents)
    ran = measured(folder, "wsd", "--probe.num-seeds", "1")
    facts = ran.facts["it-wsd"]
    assert list(facts)[:2] == ["SemCor", "MASC"]
    assert facts["MASC"] == (
        "8 occurrences of 5 lemmas and 7 senses in 2 documents; of the test "
        "occurrences 50.0 % have a lemma that training has (coverage), 25.0 % a sense "
        "that it has, 50.0 % an ambiguous lemma"
    )
    first = ran.tables["it-wsd"]["first sense"].scores
    # Of two senses that are equally frequent the first one seen, which is right once.
    assert first["SemCor F1"] == (25,)
    assert first["SemCor ambiguous F1"] == (50,)


def test_tags_that_training_lacks_are_wrong_in_their_split(folder: Path):
    known, unknown = [[("the", "A", "X"), ("bank", "B", "Y")]], [[("the", "C", "X")]]
    splits = {"train": known * 40, "dev": unknown, "test": known}
    probe_run.write_pos(folder / "data", splits)
    ran = measured(folder, "pos", "--tags", "upos", "xpos")
    rows = ran.tables["it-pos"]
    # And it is said why.
    why = "no tag of dev is one of train (C; A, B), so none can be found"
    assert ran.facts["it-pos"]["nothing found"] == why
    assert f"pos: {why}\n" in ran.error
    for name in ("most frequent tag", "layer 0", "layer 1"):
        scores = rows[name].scores
        assert set(scores["UPOS dev"]) == {0}
        for column in ("UPOS test", "XPOS dev", "XPOS test"):
            assert set(scores[column]) == {100}


def test_correlations_stand_under_their_split(folder: Path):
    """Where people found all pairs as similar as one another there is none."""
    pairs = [
        (1.0, "the bank", "a river"),
        (2.0, "the bank was good", "the bank was bad"),
        (3.0, "Ann saw Bob", "Ann saw York"),
    ]
    alike = [(2.0, *sentences) for _, *sentences in pairs]
    probe_run.write_pairs(folder / "data", {"dev": alike, "test": pairs})
    ran = measured(folder, "sts")
    scores = ran.tables["it-sts"]["layer 1, mean"].scores
    assert set(scores) == {"test Spearman", "test Pearson"}
    assert ran.facts["it-sts"]["nothing found"] == (
        "all 3 pairs of dev have the similarity 2, with which nothing correlates"
    )
    # Side by side with the other tasks stands that of test.
    both = ran.tables["it"]["layer 1"].scores
    assert both == {"STS-B Spearman, mean": scores["test Spearman"]}


@pytest.fixture(scope="module")
def diverged(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose weights are finite, and whose attention is not."""
    params, tokenizer = bert_jax.load(bert)

    def grown(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path)
        return 1e25 * leaf if "query" in name or "key" in name else leaf

    grown_params = jax.tree_util.tree_map_with_path(grown, params)
    path = tmp_path_factory.mktemp("models") / "diverged"
    bert_jax.save(path, grown_params, tokenizer)
    return path


@pytest.mark.parametrize("task", ["pos", "wsd", "sts"])
def test_a_model_that_has_diverged_is_refused_in_a_line(
    task: str, diverged: Path, data: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setenv("CONTEXTUAL_DATA", str(data))
    monkeypatch.setattr(Bert, "poolings", {"mean": {"pool": "mean"}})
    given = ["--model", str(diverged), "--tasks", task, "--layers", "1"]
    given += ["--output", str(tmp_path / "out/it"), "--cache", str(tmp_path / "cache")]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("train.probe: ")
    assert "has vectors that are not finite" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.md"))


@pytest.mark.parametrize(
    ("num_blocks", "specs"),
    [
        (3, ("mean(all)", "mix(all)")),
        (4, ("mean(last4)", "concat(last4)", "mix(blocks)")),
    ],
)
def test_specs_suit_the_size_of_the_model(num_blocks: int, specs, tmp_path: Path):
    path = str(quick_models.save_bert(tmp_path / "bert", num_blocks=num_blocks))
    subject = Subject.load(path, (), tmp_path)
    assert subject.specs == specs
    assert subject.layers == tuple("01234"[: num_blocks + 1])
    # What is measured anyway is not measured twice.
    given = ("last", "0", "last", "mean(all)")
    assert Subject.load(path, given, tmp_path).specs == ("last", "mean(all)")
