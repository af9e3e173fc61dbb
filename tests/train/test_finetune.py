# SPDX-License-Identifier: Apache-2.0
"""The command: what it writes, and what it refuses before it computes anything."""

import importlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.train import finetune_run
from tests.train.tasks.finetuning_data import (
    labelled,
    make_bert,
    make_elmo,
    tagged,
    write_labelled,
    write_tagged,
)
from train import finetune
from train.config import config_names, experiment_named
from train.families.bert.finetuned import load_bert_classifier
from train.families.elmo.finetuned import load_elmo_classifier
from train.tasks.data.conll import read_conll
from train.tasks.finetune.classification import read_texts
from train.tasks.finetune.classifier import predict_labels
from train.tasks.finetune.finetuning import Finetuning

QUICK = ("--num-epochs", "2", "--batch-size", "8", "--learning-rate", "3e-3")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "bert": make_bert(folder / "bert", num_blocks=1),
        "elmo": make_elmo(folder / "elmo"),
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    for name, number, seed in (("train", 60, 1), ("dev", 20, 2), ("test", 20, 3)):
        for kind in ("words", "texts", "pairs"):
            (folder / kind).mkdir(exist_ok=True)
        write_tagged(folder / f"words/{name}.conll", tagged(number, seed))
        write_labelled(folder / f"texts/{name}.tsv", labelled(number, seed))
        write_labelled(folder / f"pairs/{name}.tsv", labelled(number, seed, pairs=True))
    return {path.name: path for path in folder.iterdir()}


def arguments(config, model, data, output, *more):
    given = ("--model", model, "--data", data, "--output", output, *QUICK, *more)
    return [config, *map(str, given)]


def test_words_from_a_model_to_files(models, data, tmp_path, capsys):
    output = tmp_path / "out"
    given = arguments("finetune_ner", models["bert"], data["words"], output)
    assert finetune.main(given) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == str(output / "model")
    assert "epoch 2: loss " in printed.err
    record = json.loads((output / "results.json").read_text())
    assert record["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert record["command"].startswith("python -m train.finetune finetune_ner --model")
    assert record["examples"] == {"train": 60, "dev": 20, "test": 20}
    # Three columns: the word, the gold tag, the predicted one.
    lines = (output / "test.conll").read_text().splitlines()
    assert {len(line.split()) for line in lines} == {0, 3}
    gold = read_conll(output / "test.conll", column=1)
    predicted = read_conll(output / "test.conll")
    assert [s.tags for s in gold] == [s.tags for s in tagged(20, 3)]
    classifier = load_bert_classifier(output / "model")
    assert predict_labels(classifier, gold) == [list(s.tags) for s in predicted]
    assert f"f1 {record['scores']['test']['f1']:.2f}" in printed.out


def test_texts_from_a_bilm_to_files(models, data, tmp_path):
    output = tmp_path / "out"
    given = arguments("finetune_elmo_polarity", models["elmo"], data["texts"], output)
    assert finetune.main(given) == 0
    found = read_texts_written(output / "dev.tsv")
    texts = read_texts(data["texts"] / "dev.tsv")
    classifier = load_elmo_classifier(output / "model")
    assert predict_labels(classifier, texts) == [[label] for _, label in found]
    assert [label for label, _ in found] == [text.label for text in texts]
    assert json.loads((output / "results.json").read_text())["kept_epoch"] in (1, 2)


def read_texts_written(path: Path) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [(gold, predicted) for gold, predicted, *_ in rows]


def test_pairs_with_a_limit_and_an_output_that_exists(models, data, tmp_path, capsys):
    output = tmp_path / "out"
    given = arguments("finetune_polarity", models["bert"], data["pairs"], output)
    assert finetune.main([*given, "--train-limit", "16", "--num-epochs", "1"]) == 0
    record = json.loads((output / "results.json").read_text())
    assert record["examples"]["train"] == 16
    assert record["labels"] == ["other", "same"]
    assert finetune.main(given) == 2
    assert "out exists; --overwrite replaces it" in capsys.readouterr().err
    assert json.loads((output / "results.json").read_text()) == record
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    replacing = arguments("finetune_polarity", models["bert"], data["pairs"], foreign)
    assert finetune.main([*replacing, "--overwrite"]) == 2
    assert "not replaced" in capsys.readouterr().err
    assert (foreign / "thesis.txt").read_text() == "mine"


def test_what_is_written_appears_whole(models, data, tmp_path, monkeypatch, capsys):
    def fail(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr(finetune, "finetune", fail)
    output = tmp_path / "out"
    given = arguments("finetune_ner", models["bert"], data["words"], output)
    assert finetune.main(given) == 2
    assert capsys.readouterr().err == "train.finetune: the disk is full\n"
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_found_before_the_model_is_read(data, tmp_path, capsys):
    def error(config, folder, *more):
        given = arguments(config, "no/such/model/here", folder, tmp_path / "o", *more)
        assert finetune.main(given) == 2
        text = capsys.readouterr().err
        assert text.count("\n") == 1
        return text

    texts, words = tmp_path / "texts", tmp_path / "words"
    shutil.copytree(data["texts"], texts)
    shutil.copytree(data["words"], words)
    (texts / "dev.tsv").write_text("good\tthe bank\nexcellent\ta bank\n")
    text = error("finetune_polarity", texts)
    assert "dev.tsv, line 2: label 'excellent' of dev is not among those" in text
    (words / "dev.conll").write_text("the O\n\nthe O\nbank B-ORG\n")
    text = error("finetune_ner", words)
    assert "dev: the sentence at line 3 has the tag 'B-ORG', which no training" in text
    (texts / "train.tsv").write_text("good\n")
    text = error("finetune_polarity", texts)
    assert "train.tsv, line 1: a label and 0 texts" in text
    assert "train_limit must be" in error(
        "finetune_ner", data["words"], "--train-limit", "0"
    )
    assert "no/such/model/here" in error("finetune_ner", data["words"])
    assert not (tmp_path / "o").exists()


def test_a_bilm_has_no_context(models, data, tmp_path, capsys):
    given = arguments(
        "finetune_elmo_ner", models["elmo"], data["words"], tmp_path / "o"
    )
    assert finetune.main([*given, "--context", "document"]) == 2
    assert "an ELMo reads each sentence alone" in capsys.readouterr().err


@pytest.mark.parametrize("name", config_names(Finetuning))
def test_every_experiment_can_be_built_and_says_what_came_of_it(name):
    config = experiment_named(name, Finetuning)
    assert config.decisive in ("f1", "accuracy")
    record = importlib.import_module(f"configs.{name}").__doc__
    headings = ("Command:", "Hardware:", "Time:", "Score:")
    places = [record.index(f"\n{heading}") for heading in headings]
    assert places == sorted(places)
    command = " ".join(record[places[0] : places[1]].split())
    assert f"python -m train.finetune {name} --model MODEL" in command


def test_only_experiments_of_its_own(capsys):
    assert finetune.main(["bert_tiny"]) == 2
    error = capsys.readouterr().err
    assert "configs/bert_tiny.py is for another command" in error
    assert "finetune_ner" in error
    with pytest.raises(SystemExit, match="0"):
        finetune.main(["finetune_ner", "--help"])
    text = capsys.readouterr().out
    for word in ("--frozen-steps", "--output DIR", "--recipe", "--context"):
        assert word in text
    with pytest.raises(SystemExit, match="2"):
        finetune.main(arguments("finetune_ner", "m", "d", "o", "--context", "much"))
    assert "--context INT|{document}" in capsys.readouterr().err


@pytest.fixture
def folder(models, tmp_path) -> Path:
    """Models, and words and texts that a table of words can learn."""
    for name, path in models.items():
        (tmp_path / name).symlink_to(path)
    finetune_run.write_data(tmp_path / "both")
    return tmp_path


def test_the_epoch_that_is_kept_is_the_best_on_dev(folder):
    """Dev is best while the first label is given to everything, for one epoch."""
    given = "finetune_ner --model any --data both --output out --metric accuracy"
    given += " --num-epochs 5 --batch-size 8 --learning-rate 0.01"
    record = finetune_run.train_words(given.split(), folder).record
    # Of 18 words in dev, 4 are names; what is learnt gets those and 5 others wrong.
    accuracies = [epoch["dev"]["accuracy"] for epoch in record["epochs"]]
    assert accuracies[0] == pytest.approx(100 * 14 / 18)
    assert max(accuracies[1:]) < accuracies[0]
    assert record["kept_epoch"] == 1
    assert record["scores"]["dev"] == record["epochs"][0]["dev"]


def test_only_the_first_tagged_sentences_are_trained_on(folder):
    given = "finetune_ner --model any --data both --output out --train-limit"
    ran = finetune_run.record_only([*given.split(), "4"], folder)
    assert ran.record["examples"] == {"train": 4, "dev": 6, "test": 6}
    first = read_conll(folder / "both/train.conll")[:4]
    assert ran.splits["train"] == first
    path = folder / "both/train.conll"
    path.write_text(path.read_text().replace("B-PER", "O", 2))
    refused = finetune_run.record_only([*given.split(), "1", "--overwrite"], folder)
    assert refused.status == 2
    assert "has the tag 'B-PER', which no training sentence has" in refused.error


@pytest.mark.parametrize(
    ("context", "lengths"),
    # [CLS], the sentence and [SEP]; then pieces of the sentences beside it.
    [("0", [5, 5, 5]), ("2", [7, 9, 7]), ("5", [10, 11, 10]), ("document", [11] * 3)],
)
def test_a_bert_is_shown_the_neighbours_of_a_sentence(folder, context, lengths):
    (folder / "words").mkdir()
    text = "Ann PER\nsaw O\nBob PER\n\n".replace("PER", "B-PER") * 3
    for name in ("train", "dev", "test"):
        start = "-DOCSTART- O\n\n"
        (folder / f"words/{name}.conll").write_text(start + text)
    given = "finetune_ner --model bert --data words --output out --context"
    ran = finetune_run.make_only([*given.split(), context], folder)
    assert [row.length for row in ran.classifier.rows(ran.splits["train"])] == lengths
    assert [row.length for row in ran.classifier.rows(ran.splits["test"])] == lengths
    assert ran.record["config"]["context"] == context


def test_the_seed_divides_texts_that_are_not_divided(folder):
    texts = [f"river {number}" for number in range(20)]
    with zipfile.ZipFile(folder / "polarity.zip", "w") as archive:
        archive.writestr("rt-polarity.neg", "\n".join(texts[:10]))
        archive.writestr("rt-polarity.pos", "\n".join(texts[10:]))
    given = "finetune_polarity --model any --data polarity.zip --output out --seed 7"
    ran = finetune_run.record_only(given.split(), folder)
    order = np.random.default_rng(7).permutation(20).tolist()
    found = {name: [text.text for text in part] for name, part in ran.splits.items()}
    # 80, 5 and 15 %.
    assert found == {
        "train": [texts[index] for index in order[:16]],
        "dev": [texts[order[16]]],
        "test": [texts[index] for index in order[17:]],
    }


def test_tags_are_numbered_by_type_and_both_kinds_are_there(folder):
    text = "a I-LOC\nb I-LOC\nc B-PER\nd O\n"
    (folder / "words").mkdir()
    for name in ("train", "dev", "test"):
        (folder / f"words/{name}.conll").write_text(text)
    given = "finetune_ner --model any --data words --output out"
    ran = finetune_run.record_only(given.split(), folder)
    assert ran.record["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
