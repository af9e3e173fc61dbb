# SPDX-License-Identifier: Apache-2.0
"""Every command that reads text reads it from columns and from records too."""

import json

import pytest

import elmo_jax.score
from embed_jax import __main__ as embedding
from embed_jax.explore import word_types
from embed_jax.explore.contexts import command as contexts
from embed_jax.store import VectorStore
from tests.options.embedding import run, save_model

CONLL_U = """\
# text = We sat by the bank
1\tWe\twe\tPRON\t_\t_\t2\tnsubj\t_\t_
2\tsat\tsit\tVERB\t_\t_\t0\troot\t_\t_
3-4\tbythe\t_\t_\t_\t_\t_\t_\t_\t_
3\tby\tby\tADP\t_\t_\t5\tcase\t_\t_
4\tthe\tthe\tDET\t_\t_\t5\tdet\t_\t_
5\tbank\tbank\tNOUN\t_\t_\t2\tobl\t_\t_

1\tthe\tthe\tDET\t_\t_\t2\tdet\t_\t_
1.1\tdeep\tdeep\tADJ\t_\t_\t_\t_\t_\t_
2\tbank\tbank\tNOUN\t_\t_\t0\troot\t_\t_
"""
LEMMAS = [["we", "sit", "by", "the", "bank"], ["the", "bank"]]
WORDS = [["We", "sat", "bythe", "bank"], ["the", "bank"]]
TEXTS = ["the river bank", "the bank"]

CASES = [
    ("a.conllu", [], WORDS, "CoNLL-U, the words of column FORM"),
    ("a.conllu", ["--column", "lemma"], LEMMAS, "CoNLL-U, the words of column LEMMA"),
    (
        "a.conllu",
        ["--format", "conll", "--column", "3"],
        [["we", "sit", "_", "by", "the", "bank"], ["the", "deep", "bank"]],
        "CoNLL, the words of column 3",
    ),
    (
        "a.jsonl",
        ["--field", "body"],
        [text.split() for text in TEXTS],
        "JSON lines, the texts of field body",
    ),
    (
        "a.parquet",
        ["--field", "body"],
        [text.split() for text in TEXTS],
        "Parquet, the texts of field body",
    ),
]


@pytest.fixture(scope="module", params=["bert", "elmo"])
def model(request, tmp_path_factory):
    return save_model(request.param, tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    (folder / "a.conllu").write_text(CONLL_U)
    lines = [json.dumps({"id": 1, "body": text}) + "\n" for text in TEXTS]
    (folder / "a.jsonl").write_text("".join(lines))
    return folder


def written(corpora, name):
    if name.endswith(".parquet") and not (corpora / name).exists():
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.table({"body": TEXTS}), corpora / name)
    return str(corpora / name)


@pytest.mark.parametrize(("name", "given", "words", "said"), CASES)
def test_vectors_and_types_are_of_the_words(
    model, corpora, tmp_path, name, given, words, said
):
    """In both families; a model that lower-cases says so in its words."""
    corpus = written(corpora, name)
    quick = ["--layers", "0", "--devices", "1"]
    ran = run(
        embedding.main,
        [model, corpus, "vectors.h5", *given, *quick, "--split"],
        tmp_path,
    )
    assert ran.status == 0, ran.refusal
    assert f"{corpus}: read as {said}\n" in ran.printed
    with VectorStore(tmp_path / "vectors.h5") as store:
        assert store.words(slice(None)) == words
        for option in given[::2]:
            assert option[2:] in store.metadata
    line = [model, corpus, "types.h5", *given, *quick, "--split", "--lowercase"]
    ran = run(word_types.main, line, tmp_path)
    assert ran.status == 0, ran.refusal
    assert f"{corpus}: read as {said}\n" in ran.printed
    found = word_types.read_word_types(tmp_path / "types.h5")
    flat = [word.lower() for sentence in words for word in sentence]
    assert sorted(found.words) == sorted({*flat})


def test_contexts_are_of_the_words(model, corpora, tmp_path):
    line = [model, written(corpora, "a.conllu"), "--word", "bank", "--layers", "0"]
    ran = run(contexts.main, [*line, "--devices", "1"], tmp_path)
    assert ran.status == 0, ran.refusal
    assert "read as CoNLL-U, the words of column FORM\n" in ran.printed
    assert "line 1       We sat bythe [bank]" in ran.printed
    assert "line 2       the [bank]" in ran.printed
    line[1] = written(corpora, "a.jsonl")
    ran = run(contexts.main, [*line, "--field", "body", "--devices", "1"], tmp_path)
    assert "line 1       the river [bank]" in ran.printed


def test_scores_are_of_the_words(corpora, tmp_path):
    model = save_model("elmo", tmp_path / "model")
    for number, (name, given, words) in enumerate(
        [
            ("a.conllu", ["--column", "LEMMA"], LEMMAS),
            ("a.jsonl", ["--field", "body"], [text.split() for text in TEXTS]),
        ]
    ):
        output = f"{number}.jsonl"
        line = [model, written(corpora, name), output, *given, "--devices", "1"]
        ran = run(elmo_jax.score.main, line, tmp_path)
        assert ran.status == 0, ran.refusal
        lines = (tmp_path / output).read_text().splitlines()
        assert [json.loads(each)["words"] for each in lines] == words


def test_a_column_of_lists_of_words_is_refused(model, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"text": [["a", "bank"]]}), tmp_path / "a.parquet")
    ran = run(embedding.main, [model, "a.parquet", "vectors.h5"], tmp_path)
    assert ran.status == 2
    assert "a.parquet: field 'text' is list<" in ran.refusal
    assert "not text" in ran.refusal
