import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import bert_jax
from tests.train import ner_run, quick_models
from tests.train.tiny_models import save_bert
from train import ner
from train.ner import rows_for
from train.tasks.data.conll import read_conll
from train.tasks.ner import trained_specs

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
    with monkeypatch.context() as patch:
        clock = SimpleNamespace(monotonic=iter((0.0, 7.0, 10.0, 15.0)).__next__)
        patch.setattr("train.ner.time", clock)
        assert ner.main([*arguments, *predictions]) == 0
    table = capsys.readouterr().out
    assert "| last |" in table
    assert "shares" in table
    stem = f"ner-towns-{tiny_bert.name}"
    record = json.loads((results / f"{stem}.json").read_text())
    assert [row["name"] for row in record["rows"]] == ["last", "mix(all)"]
    assert len(record["rows"][0]["scores"]["test F1"]) == 2
    assert "--layers last 'mix(all)'" in record["command"]
    assert "7 for the features and 5 for the taggers" in record["facts"]["seconds"]
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
        (["--context", "-1"], "context must be at least 0, not -1"),
        (
            ["--layers", "last", "mean(all)", "--mix-penalty", "0.1"],
            "mix_penalty 0.1: none of the layers is a mix(…) or mix_norm(…)",
        ),
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


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_a_training_that_diverges_is_one_line_and_a_remedy(
    decoder: str,
    data: Path,
    tiny_bert: Path,
    capsys: pytest.CaptureFixture[str],
):
    given = _arguments(data, tiny_bert, "--layers", "last", "--num-layers", "0")
    given += ["--decoder", decoder]
    assert ner.main([*given, "--learning-rate", "3e38"]) == 2
    error = capsys.readouterr().err
    line = error.splitlines()[-1]
    assert line.startswith("train.ner: ")
    assert " not finite" in line
    assert "no scores of last are kept" in line
    assert "Traceback" not in error
    assert not list(data.parent.rglob("ner-*"))
    advised = line.partition("Give a lower learning rate, such as ")[2]
    assert ner.main([*given, *advised.split()]) == 0


def test_a_context_is_a_number_or_document(
    data: Path, tiny_bert: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="2"):
        ner.main([*_arguments(data, tiny_bert), "--context", "much"])
    assert "--context INT|{document}" in capsys.readouterr().err


def test_rows_of_the_papers():
    assert rows_for((), 12) == ner.TABLE_7
    # Of a model with four blocks, two rows are the same.
    assert "mix(blocks)" not in rows_for((), 4)
    assert rows_for(("last", "-1", "0"), 12) == ("last", "0")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_models.save_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    """A model, and two documents, one of two sentences and one of one."""
    (tmp_path / "bert").symlink_to(bert)
    text = "-DOCSTART- O\n\nthe O\nbanks B-ORG\n\na O\nriver O\n\n"
    text += "-DOCSTART- O\n\nsaw O\nYork B-LOC\n"
    write_splits(tmp_path / "towns", train=text, dev=text, test=text)
    return tmp_path


def write_splits(folder: Path, **texts: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.conll").write_text(text)


LINEAR = "ner_small --model bert --data towns --num-layers 0 --num-seeds 2".split()


def test_a_sentence_is_shown_its_neighbours_of_the_same_document(folder: Path):
    given = [*LINEAR, "--layers", "last", "--context"]
    alone, shown = (
        ner_run.run([*given, context], folder, learns=False).vectors["train"][:, -1]
        for context in ("0", "document")
    )
    assert np.abs(alone[:4] - shown[:4]).max(axis=1).min() > 1e-3
    # The last two words are the only sentence of the second document.
    np.testing.assert_allclose(alone[4:], shown[4:], atol=2e-3)


def test_with_pool_mean_a_word_is_the_mean_of_its_pieces(folder: Path):
    given = [*LINEAR, "--layers", "last", "--pool", "mean"]
    found = ner_run.run(given, folder, learns=False).vectors["test"][:, -1]
    params, tokenizer = bert_jax.load(folder / "bert")
    tokens = tokenizer(["the banks"])
    # [CLS] the bank ##s [SEP]
    vectors = np.asarray(bert_jax.embed(params, tokens, "last"))[0]
    assert tokens.word_ids[0].tolist()[1:4] == [0, 1, 1]
    np.testing.assert_allclose(found[0], vectors[1], atol=5e-3)
    np.testing.assert_allclose(found[1], (vectors[2] + vectors[3]) / 2, atol=5e-3)


def test_scores_stand_under_their_split(folder: Path):
    # What is learnt by heart is right in dev, and in test there are no names.
    known = (folder / "towns/test.conll").read_text()
    nameless = known.replace("B-LOC", "O").replace("B-ORG", "O")
    write_splits(folder / "towns", test=nameless)
    given = [*LINEAR, "--layers", "concat(0,1)", "0"]
    given += "--learning-rate 0.1 --num-epochs 60 --patience 60".split()
    given += "--dropout-rate 0 --predictions found".split()
    ran = ner_run.run(given, folder)
    record = json.loads((folder / "results/ner-towns-bert.json").read_text())
    assert [row["name"] for row in record["rows"]] == ["concat(0,1)", "0"]
    for row in record["rows"]:
        assert row["scores"] == {"dev F1": [100, 100], "test F1": [0, 0]}
    assert record["facts"]["data"].startswith("train 3 sentences, 6 words; dev 3")
    why = "test has no entity, so nothing can be found in it"
    assert record["facts"]["nothing found"] == why
    # Word, gold tag, and what the first seed found.
    found = (folder / "found/0.conll").read_text()
    assert found.splitlines()[:2] == ["the\tO\tO", "banks\tO\tB-ORG"]
    gold = [sentence.tags for sentence in read_conll(folder / "found/0.conll")]
    assert list(map(list, gold)) == ran.outcomes["0"].predictions[0]


def test_what_another_input_gave_is_not_taken(folder: Path):
    def specs_trained(*more: str) -> list[str]:
        return ner_run.run([*LINEAR, *more], folder, learns=False).trained

    assert specs_trained("--layers", "last") == ["last"]
    assert specs_trained("--layers", "last") == []
    # What is not there yet is all that is trained.
    assert specs_trained("--layers", "0", "last") == ["0"]
    for more in ("--context 3", "--pool mean", "--seed 4", "--num-epochs 2"):
        assert specs_trained("--layers", "last", *more.split()) == ["last"]
    for name in ("train", "dev", "test"):
        path = folder / f"towns/{name}.conll"
        path.write_text(path.read_text().replace("B-ORG", "B-LOC"))
        # The words are the same.
        assert specs_trained("--layers", "last") == ["last"]


def test_files_are_named_after_data_model_and_context(folder: Path):
    given = [*LINEAR, "--layers", "0", "--model", "./bert/", "--context"]
    for context in ("0", "3"):
        assert ner_run.run([*given, context], folder, learns=False).status == 0
    names = {path.stem for path in (folder / "results").iterdir()}
    assert names == {"ner-towns-bert", "ner-towns-bert-context-3"}


def test_a_model_of_three_blocks_gets_the_rows_of_elmo():
    assert rows_for((), 3) == ner.ELMO_ROWS
    assert rows_for((), 4) == ner.TABLE_7[:-1]
