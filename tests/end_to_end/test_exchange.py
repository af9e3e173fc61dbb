# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax` writes Parquet and arrays, by the ending of the output."""

import csv
import json
import sys

import numpy as np
import pytest

from embed_jax.__main__ import main
from embed_jax.store import VectorStore
from tests.options.embedding import LINES, run, save_model

WORDS = [
    "we sat by the river bank".split(),
    ["banking", ",", "the", "bank", "ran"],
    [],
    "the money of the deep river".split(),
    LINES[-1].split(),
]
PLACES = [
    (sentence, place)
    for sentence, words in enumerate(WORDS)
    for place in range(len(words))
]


@pytest.fixture(scope="module", params=["bert", "elmo"])
def model(request, tmp_path_factory):
    return save_model(request.param, tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture(scope="module")
def embed(model, tmp_path_factory):
    corpus = tmp_path_factory.mktemp("text") / "corpus.txt"
    corpus.write_text("\n".join(LINES) + "\n", encoding="utf-8")

    def embed(folder, output, *arguments):
        line = [model, str(corpus), output, "--layers", "0", "--devices", "1"]
        return run(main, [*line, *arguments], folder)

    return embed


def rows_of(path):
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pydict()


def expected(folder, embed, *arguments):
    assert embed(folder, "store.h5", *arguments).status == 0
    with VectorStore(folder / "store.h5") as store:
        texts = [word for words in store.words(slice(None)) for word in words]
        return texts, np.concatenate(list(store))


@pytest.mark.parametrize("given", [[], ["--dtype", "float16"]])
def test_parquet_has_a_row_a_word(embed, tmp_path, given):
    pytest.importorskip("pyarrow")
    texts, vectors = expected(tmp_path, embed, *given)
    ran = embed(tmp_path, "vectors.parquet", *given)
    assert ran.status == 0, ran.refusal
    assert f"vectors.parquet: {len(texts)} rows, 16 wide" in ran.printed
    rows = rows_of(tmp_path / "vectors.parquet")
    assert list(rows) == ["sentence", "word", "text", "vector"]
    assert list(zip(rows["sentence"], rows["word"], strict=True)) == PLACES
    assert rows["text"] == texts
    found = np.array(rows["vector"], vectors.dtype)
    np.testing.assert_array_equal(found, vectors)
    # Nothing is left of the store that it was made of.
    assert {path.name for path in tmp_path.iterdir()} == {"store.h5", "vectors.parquet"}


def test_parquet_has_a_row_a_sentence(embed, tmp_path):
    pytest.importorskip("pyarrow")
    given = ["--sentences", "mean"]
    texts, vectors = expected(tmp_path, embed, *given)
    assert embed(tmp_path, "vectors.parquet", *given).status == 0
    rows = rows_of(tmp_path / "vectors.parquet")
    assert list(rows) == ["sentence", "text", "vector"]
    assert rows["sentence"] == [0, 1, 2, 3, 4]
    assert rows["text"] == texts == LINES
    np.testing.assert_array_equal(np.float32(rows["vector"]), vectors)


def test_an_array_of_words_has_their_places_beside_it(embed, tmp_path):
    texts, vectors = expected(tmp_path, embed)
    assert embed(tmp_path, "vectors.npy").status == 0
    found = np.load(tmp_path / "vectors.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, vectors)
    with (tmp_path / "vectors.npy.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["sentence", "word", "text"]
    wanted = zip(PLACES, texts, strict=True)
    assert rows == [[str(s), str(w), text] for (s, w), text in wanted]
    record = json.loads((tmp_path / "vectors.npy.json").read_text())
    assert record["vectors"] == "of words"
    assert record["shape"] == list(vectors.shape)
    assert record["metadata"]["pool"] == "first"


def test_an_array_of_sentences_has_a_row_a_line(embed, tmp_path):
    _, vectors = expected(tmp_path, embed, "--sentences", "max")
    ran = embed(tmp_path, "vectors.npy", "--sentences", "max", "--dtype", "float16")
    assert ran.status == 0
    found = np.load(tmp_path / "vectors.npy")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, vectors.astype(np.float16))
    assert not (tmp_path / "vectors.npy.csv").exists()


@pytest.mark.parametrize("name", ["vectors.npy", "vectors.parquet"])
def test_a_run_that_is_killed_leaves_nothing_half_and_goes_on(
    embed, tmp_path, name, monkeypatch
):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    blocks = VectorStore.blocks

    def cut(store):
        yield from blocks(store)
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(VectorStore, "blocks", cut)
        ran = embed(tmp_path, name)
    assert ran.status
    assert not (tmp_path / name).exists()
    assert (tmp_path / f"{name}.unfinished.h5").exists()
    # The vectors are not computed again.
    ran = embed(tmp_path, name, "--resume")
    assert ran.status == 0, ran.refusal
    assert ran.batches == []
    assert (tmp_path / name).exists()
    assert not (tmp_path / f"{name}.unfinished.h5").exists()
    assert "is complete already" in embed(tmp_path, name, "--resume").printed
    ran = embed(tmp_path, name, "--resume", "--words", "last")
    assert ran.status == 2
    assert "of another run (pool); --overwrite without --resume" in ran.refusal
    ran = embed(tmp_path, name)
    assert (ran.status, ran.refusal.endswith("exists; --overwrite replaces it")) == (
        2,
        True,
    )
    assert embed(tmp_path, name, "--overwrite", "--words", "last").status == 0


@pytest.mark.parametrize("name", ["vectors.npy", "vectors.parquet"])
def test_what_is_not_ours_is_not_replaced(embed, tmp_path, name):
    if name.endswith("parquet"):
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.table({"a": [1]}), tmp_path / name)
    else:
        np.save(tmp_path / name, np.zeros(3))
    before = (tmp_path / name).read_bytes()
    ran = embed(tmp_path, name, "--overwrite")
    assert ran.status == 2
    assert "was written here, and only such a file is replaced" in ran.refusal
    assert (tmp_path / name).read_bytes() == before


def test_a_store_of_nearly_that_name_is_kept(embed, tmp_path):
    assert embed(tmp_path, "vectors.npy.h5").status == 0
    before = (tmp_path / "vectors.npy.h5").read_bytes()
    assert embed(tmp_path, "vectors.npy", "--resume").status == 0
    assert (tmp_path / "vectors.npy.h5").read_bytes() == before


def test_what_other_programs_do_not_have_is_refused(embed, tmp_path, monkeypatch):
    ran = embed(tmp_path, "vectors.npy", "--dtype", "bfloat16")
    assert ran.status == 2
    assert "--dtype bfloat16: .npy has no such numbers" in ran.refusal
    ran = embed(tmp_path, "vectors.npy", "--num-processes", "2", "--process-id", "0")
    assert ran.status == 2
    assert "several processes write .h5" in ran.refusal
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = embed(tmp_path, "vectors.parquet")
    assert ran.status == 2
    assert "with pyarrow, which is missing: pip install pyarrow" in ran.refusal
    assert list(tmp_path.iterdir()) == []
