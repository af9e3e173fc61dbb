# SPDX-License-Identifier: Apache-2.0
"""A store, and what lies beside it, is checked whenever it is opened."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from embed_jax.files.checked_files import CHECKSUMS
from train.data.store import TokenStore, written_store
from train.families.bert.pieces import PieceStore
from train.families.elmo.words import WordStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with written_store(tmp_path / "store", 70_000) as writer:
        writer.append([np.arange(1, 400), np.arange(7)])
        writer.append([np.array([65_535] * 50)])
        (writer.path / "types.txt").write_text("one more file\n")
        (writer.path / "empty.txt").touch()
    return tmp_path / "store"


def test_a_store_is_checked_whenever_it_is_opened(path: Path) -> None:
    file = path / "sentence_starts.npy"
    content = bytearray(file.read_bytes())
    content[-16] ^= 32
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"sentence_starts\.npy is damaged: it is not"):
        TokenStore.open(path)


def test_a_file_that_is_missing_is_named(path: Path) -> None:
    (path / "types.txt").unlink()
    with pytest.raises(ValueError, match=r"types\.txt: no such file; remove the dir"):
        TokenStore.open(path)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "{}", '{"block_bytes": 16777216, "files": {"../a": 1}}', "[]"],
)
def test_checksums_that_are_none_are_refused(path: Path, content: str) -> None:
    (path / CHECKSUMS).write_text(content)
    with pytest.raises(ValueError, match=r"checksums\.json.*; remove the directory"):
        TokenStore.open(path)


def test_a_store_of_an_earlier_version_is_opened_if_its_starts_rise(path: Path) -> None:
    (path / CHECKSUMS).unlink()
    assert TokenStore.open(path).num_sentences == 3
    starts = np.load(path / "sentence_starts.npy")
    starts[1] += 1 << 32
    np.save(path / "sentence_starts.npy", starts)
    with pytest.raises(ValueError, match=r"sentence_starts\.npy is damaged: its s"):
        TokenStore.open(path)


@pytest.mark.parametrize("name", ["words/vocab.txt", "pieces/tokenizer/vocab.txt"])
def test_a_changed_vocabulary_is_refused_when_its_store_is_opened(
    folder, tmp_path, name
):
    kind = name.split("/")[0]
    shutil.copytree(folder / kind, tmp_path / kind)
    path = tmp_path / name
    store = {"words": WordStore, "pieces": PieceStore}[kind]
    held = tmp_path / kind / "train"
    assert store.open(held)
    path.write_bytes(path.read_bytes()[:-2] + b"#\n")
    with pytest.raises(ValueError, match=r"vocab\.txt is damaged; remove the dir"):
        store.open(held)
