# SPDX-License-Identifier: Apache-2.0
"""What is recognised as made here, by what stands in it."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from elmo_jax.score import SCORES, JsonLines, SentenceLines, TokenLines
from embed_jax.explore.word2vec import WORD2VEC, write_word2vec
from embed_jax.explore.word_types import (
    WORD_TYPES,
    collect_word_types,
    write_word_types,
)
from embed_jax.files.kinds import DirectoryKind, json_with
from embed_jax.files.output_file import check_kind
from embed_jax.store import StoreWriter
from embed_jax.store.kind import STORE


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.h5"
    metadata = {"model": "m" * 5000, "more": list(range(500))}
    with StoreWriter(path, dim=3, metadata=metadata) as writer:
        writer.append(np.ones((2, 3), np.float32), ["a", "b"])
    return path


@pytest.fixture
def types(tmp_path: Path) -> Path:
    path = tmp_path / "types.h5"
    metadata = {"model": "m" * 5000}
    found = collect_word_types([], dim=3, metadata=metadata)
    write_word_types(path, found)
    return path


def test_a_store_is_known_even_where_it_was_cut(store: Path, types: Path):
    assert STORE.is_ours(store)
    store.write_bytes(store.read_bytes()[: store.stat().st_size // 2])
    assert STORE.is_ours(store)
    assert not STORE.is_ours(types)
    assert not STORE.is_ours(store.with_name("none"))


def test_word_types_are_known(types: Path, store: Path):
    assert WORD_TYPES.is_ours(types)
    assert not WORD_TYPES.is_ours(store)


def test_somebody_elses_hdf5_is_not_ours(tmp_path: Path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["format"] = 1
        file["vectors"] = np.ones(3)
    assert not STORE.is_ours(tmp_path / "weights.h5")
    assert not WORD_TYPES.is_ours(tmp_path / "weights.h5")


@pytest.mark.parametrize("width", [0, 1, 3, 9000])
def test_word2vec_is_known_by_its_form(tmp_path: Path, width: int):
    path = tmp_path / "vectors.txt"
    write_word2vec(path, ["a", "b"], np.full((2, width), 0.1, np.float32))
    assert WORD2VEC.is_ours(path)
    for text in ("2 3\n", "2 3\na 1 2\n", "two 3\n", "2 3 4\na 1 2 3\n", "a text\n"):
        path.write_text(text)
        assert not WORD2VEC.is_ours(path)


def test_scores_are_known_by_what_they_begin_with(tmp_path: Path):
    path = tmp_path / "scores"
    for kind in (SentenceLines, TokenLines):
        for header in (kind().header, kind(",", "bits").header):
            path.write_text(header)
            assert SCORES.is_ours(path)
    # Of versions that did not say the units.
    path.write_text("line\ttokens\tunknown\tforward\tbackward\ttext\n")
    assert SCORES.is_ours(path)
    names = ("line", "words", "forward", "backward", "unknown")
    record = json.dumps(dict.fromkeys(names, 0))
    path.write_text(f"{record}\n{record}\n")
    assert JsonLines().header == ""
    assert SCORES.is_ours(path)
    path.write_text('{"line": 1}\n')
    assert not SCORES.is_ours(path)


@pytest.mark.parametrize(
    ("text", "is_ours"),
    [
        ('{"a": 1, "b": 2}', True),
        ('[\n {"a": 1,\n "b": 2}]', True),
        ('{"a": 1}', False),
        ("[]", False),
        ("[" * 100_000, False),
        ("\ufeffa text", False),
        ("", False),
    ],
)
def test_json_is_known_by_its_keys(tmp_path: Path, text: str, is_ours: bool):
    path = tmp_path / "file.json"
    path.write_text(text)
    assert json_with("a", "b")(path) is is_ours


def test_an_empty_file_holds_nothing_to_lose(tmp_path: Path):
    path = tmp_path / "empty"
    path.touch()
    check_kind(path, STORE)
    path.write_text("a word")
    with pytest.raises(FileExistsError, match="empty is not a store of vectors that"):
        check_kind(path, STORE)


def test_a_directory_holds_what_we_write_and_nothing_else(tmp_path: Path):
    kind = DirectoryKind("a model", "config.json", files=("*.h5",))
    for name in ("config.json", "a.h5", "__pycache__"):
        (tmp_path / name).touch()
    assert kind.foreign(tmp_path) is None
    (tmp_path / "notes.txt").touch()
    assert kind.foreign(tmp_path) == "notes.txt"
