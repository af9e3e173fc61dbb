# SPDX-License-Identifier: Apache-2.0
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.store import TokenStore, written_store

DOCUMENTS = [
    [np.array([3, 1, 4]), np.array([1, 5])],
    [np.array([9])],
    [np.array([2, 6]), np.array([], np.int64), np.array([5, 3, 5])],
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with written_store(tmp_path / "store", 10) as writer:
        for document in DOCUMENTS:
            writer.append(document)
    return tmp_path / "store"


def test_a_store_gives_back_what_was_written(path: Path) -> None:
    store = TokenStore.open(path)
    assert store.tokens.tolist() == [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
    assert store.sentence_starts.tolist() == [0, 3, 5, 6, 8, 11]
    assert store.document_starts.tolist() == [0, 2, 3, 5]
    assert (store.num_tokens, store.num_sentences, store.num_documents) == (11, 5, 3)
    assert store.sentence(1).tolist() == [1, 5]
    assert store.sentence(4).tolist() == [5, 3, 5]


@given(st.lists(st.lists(st.lists(st.integers(0, 70_000), max_size=4), max_size=3)))
def test_any_documents_come_back_without_what_is_empty(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[list[int]]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "store"
    with written_store(path, 70_001) as writer:
        for document in documents:
            writer.append([np.array(ids, np.int64) for ids in document])
    store = TokenStore.open(path)
    read = [
        [store.sentence(i).tolist() for i in range(first, last)]
        for first, last in zip(
            store.document_starts[:-1], store.document_starts[1:], strict=True
        )
    ]
    kept = [[ids for ids in document if ids] for document in documents]
    assert read == [document for document in kept if document]


def test_ids_are_as_small_as_they_can_be(tmp_path: Path) -> None:
    for num_ids, dtype in ((1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)):
        with written_store(tmp_path / "store", num_ids) as writer:
            writer.append([np.array([num_ids - 1])])
        store = TokenStore.open(tmp_path / "store")
        assert store.tokens.dtype == dtype
        assert store.tokens.tolist() == [num_ids - 1]


def test_tokens_are_mapped_and_cannot_be_changed(path: Path) -> None:
    store = TokenStore.open(path)
    assert isinstance(store.tokens.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.tokens[0] = 1


def test_an_id_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    for wrong in (10, -1):
        with (
            pytest.raises(ValueError, match=f"ids from {wrong} to {wrong}, but .* 10"),
            written_store(tmp_path / "store", 10) as writer,
        ):
            writer.append([np.array([wrong])])
    assert not list(tmp_path.iterdir())


def test_an_interrupted_store_is_absent_and_the_old_one_stays(path: Path) -> None:
    def interrupted() -> None:
        with written_store(path, 10) as writer:
            writer.append([np.array([7])])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert TokenStore.open(path).num_tokens == 11
    assert [p.name for p in path.parent.iterdir()] == ["store"]


def test_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with (
        pytest.raises(FileExistsError, match="thesis"),
        written_store(tmp_path / "thesis", 10),
    ):
        pass
    assert (tmp_path / "thesis" / "chapter.txt").is_file()


def test_sentences_outside_are_refused(path: Path) -> None:
    store = TokenStore.open(path)
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"no sentence {index}"):
            store.sentence(index)


@pytest.mark.parametrize("name", ["tokens", "sentence_starts", "document_starts"])
@pytest.mark.parametrize("length", [0, 5, -1])
def test_files_that_are_cut_short_are_named(path: Path, name: str, length: int) -> None:
    file = path / f"{name}.npy"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match=rf"{name}\.npy is damaged or cut short; rem"):
        TokenStore.open(path)


def test_missing_stores_and_files_are_named(path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: no such store; run python -m tr"):
        TokenStore.open(path.with_name("nowhere"))
    (path / "tokens.npy").unlink()
    with pytest.raises(ValueError, match=r"tokens\.npy: no such file"):
        TokenStore.open(path)


def test_foreign_files_are_refused(path: Path) -> None:
    tokens = path / "tokens.npy"
    for array, message in (
        (np.zeros(11, np.float32), r"tokens\.npy holds float32, not uint16 or uint32"),
        (np.zeros((11, 1), np.uint16), r"tokens\.npy holds no array of 1 axes"),
        (np.zeros(12, np.uint16), r"sentence_starts\.npy does not belong to the files"),
    ):
        np.save(tokens, array)
        with pytest.raises(ValueError, match=message):
            TokenStore.open(path)


def test_nothing_is_unpickled(path: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    np.save(path / "tokens.npy", np.array([Bomb()], object), allow_pickle=True)
    with pytest.raises(ValueError, match="damaged"):
        TokenStore.open(path)
    (path / "tokens.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="damaged"):
        TokenStore.open(path)
    assert not (tmp_path / "exploded").exists()
