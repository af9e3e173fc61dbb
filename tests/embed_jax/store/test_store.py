# SPDX-License-Identifier: Apache-2.0
"""The store of vectors: what goes in comes out, whatever kills the writer."""

import errno
import fcntl
import json
import os
import pickle  # noqa: TID251 (as loaders of data do, for their workers)
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_jax import store
from embed_jax.files import sync
from embed_jax.store import StoreWriter, VectorStore, build, reader, text_index
from embed_jax.store.checked import open_store
from tests.kills import number_of, stride_of

DIM = 8
CORPUS_SIZE = 60
METADATA = {"model": "bert", "layers": [-1, -2], "cased": True}
DTYPES = ["float32", "float16", "bfloat16"]


def sentence(index: int) -> tuple[np.ndarray, list[str]]:
    """A sentence told by its number alone, so that a resumed run can make it again."""
    rng = np.random.default_rng(index)
    length = index * 7 % 5
    vectors = rng.standard_normal((length, DIM)).astype(np.float32)
    return vectors, [f"{index}.{i}" * (index % 3) for i in range(length)]


def write(path: Path, stop: int = CORPUS_SIZE, **options: Any) -> None:
    with StoreWriter(path, dim=DIM, metadata=METADATA, **options) as writer:
        for index in range(writer.num_sentences, stop):
            writer.append(*sentence(index))


def write_some(path: Path, stop: int, **options: Any) -> None:
    """Leave a partial store behind, by an exception."""
    with (
        suppress(KeyboardInterrupt),
        StoreWriter(path, dim=DIM, metadata=METADATA, **options) as writer,
    ):
        for index in range(writer.num_sentences, stop):
            writer.append(*sentence(index))
        raise KeyboardInterrupt


def check_corpus(path: Path, size: int = CORPUS_SIZE) -> None:
    with VectorStore(path) as vectors:
        assert len(vectors) == size
        assert vectors.metadata == METADATA
        for index, rows in enumerate(vectors):
            expected, words = sentence(index)
            np.testing.assert_array_equal(rows, expected)
            assert vectors.words(index) == words
    assert not partial_of(path).exists()


def partial_of(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


any_text = st.text(st.characters(), max_size=6)
any_float = st.floats(-6e4, 6e4, width=32)
any_sentence = st.lists(st.tuples(any_text, st.tuples(any_float, any_float)))


@given(
    sentences=st.lists(any_sentence, max_size=8),
    dtype=st.sampled_from(DTYPES),
    compression=st.sampled_from([None, "gzip", "lzf"]),
)
def test_what_goes_in_comes_out(sentences, dtype, compression):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.h5"
        arrays = [
            np.array([row for _, row in pairs], np.float32).reshape(-1, 2)
            for pairs in sentences
        ]
        words = [[word for word, _ in pairs] for pairs in sentences]
        with StoreWriter(path, dim=2, dtype=dtype, compression=compression) as writer:
            for vectors, texts in zip(arrays, words, strict=True):
                writer.append(vectors, texts)
        with VectorStore(path) as read:
            assert len(read) == len(sentences)
            assert read.dtype == np.dtype(dtype)
            assert read.words(slice(None)) == words
            for index, vectors in enumerate(arrays):
                assert read[index].dtype == np.dtype(dtype)
                np.testing.assert_array_equal(read[index], vectors.astype(dtype))
                assert read.words(index) == words[index]


@pytest.mark.parametrize(
    "word", ["", "\0", "a\0b\0", "\ud800", "\udfff x", "é🙂", "\n"]
)
def test_any_string_is_a_word(tmp_path, word):
    with StoreWriter(tmp_path / "s.h5", dim=1) as writer:
        writer.append(np.zeros((3, 1), np.float32), ["", word, ""])
    with VectorStore(tmp_path / "s.h5") as read:
        assert read.words(0) == ["", word, ""]


@pytest.mark.parametrize("given_dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_float_is_cast(tmp_path, dtype, given_dtype):
    vectors = np.linspace(-3, 3, 12).reshape(4, 3).astype(given_dtype)
    with StoreWriter(tmp_path / "s.h5", dim=3, dtype=dtype) as writer:
        writer.append(vectors, list("abcd"))
    with VectorStore(tmp_path / "s.h5") as read:
        np.testing.assert_array_equal(read[0], vectors.astype(dtype))


def test_reads_as_a_list(tmp_path, monkeypatch):
    # Blocks of two rows: most sentences are longer or end in the midst of one.
    monkeypatch.setattr(reader, "BLOCK_BYTES", 2 * DIM * 4)
    write(tmp_path / "s.h5")
    expected = [sentence(index) for index in range(CORPUS_SIZE)]
    with VectorStore(tmp_path / "s.h5") as read:
        assert read.dim == DIM
        for index in (0, 7, np.int64(7), CORPUS_SIZE - 1, -1, -CORPUS_SIZE):
            np.testing.assert_array_equal(read[index], expected[index][0])
            assert read.words(index) == expected[index][1]
        for index in (CORPUS_SIZE, -CORPUS_SIZE - 1):
            with pytest.raises(IndexError, match=f"sentence {index} of the 60"):
                read[index]
            with pytest.raises(IndexError):
                read.words(index)
        for part in (
            slice(None),
            slice(3, 9),
            slice(9, 3),
            slice(-5, 99),
            slice(None, None, -7),
            slice(60, 70),
        ):
            wanted = expected[part]
            for rows, (vectors, _) in zip(read[part], wanted, strict=True):
                np.testing.assert_array_equal(rows, vectors)
            assert read.words(part) == [words for _, words in wanted]
        flat = np.concatenate([vectors for vectors, _ in expected])
        np.testing.assert_array_equal(read.read_rows(5, 17), flat[5:17])
        np.testing.assert_array_equal(read.vectors[:], flat)
        assert read.offsets[-1] == len(flat)
        for rows, (vectors, _) in zip(read, expected, strict=True):
            np.testing.assert_array_equal(rows, vectors)
            assert rows.base is None


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_many_chunks(tmp_path, monkeypatch, compression):
    monkeypatch.setattr(build, "CHUNK_BYTES", 3 * DIM * 4)
    monkeypatch.setattr(build, "BLOCK_BYTES", 9 * DIM * 4)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 9 * DIM * 4)
    write(tmp_path / "s.h5", compression=compression)
    check_corpus(tmp_path / "s.h5")
    with VectorStore(tmp_path / "s.h5") as read:
        assert read.vectors.compression == compression


def test_empty_store(tmp_path):
    write(tmp_path / "s.h5", stop=0)
    with VectorStore(tmp_path / "s.h5") as read:
        assert len(read) == 0
        assert list(read) == read[:] == read.words(slice(None)) == []
        assert read.dim == DIM


def test_equal_runs_write_equal_files(tmp_path):
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_large_metadata(tmp_path):
    metadata = {"vocabulary": "\ud800x" * 100_000, "layers": (1, 2)}
    with StoreWriter(tmp_path / "s.h5", dim=1, metadata=metadata):
        pass
    with VectorStore(tmp_path / "s.h5") as read:
        assert read.metadata == metadata | {"layers": [1, 2]}


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.zeros((2, DIM), np.float32), ["one"]),
        (np.zeros((2, DIM + 1), np.float32), ["one", "two"]),
        (np.zeros((2, DIM), np.float32), "ab"),
        (np.full((1, DIM), 7e4, np.float32), ["overflow"]),
    ],
)
def test_a_refused_sentence_leaves_no_trace(tmp_path, vectors, words):
    with StoreWriter(tmp_path / "s.h5", dim=DIM, dtype="float16") as writer:
        with pytest.raises(ValueError, match=r"words|overflows"):
            writer.append(vectors, words)
        writer.append(np.ones((1, DIM), np.float16), ["good"])
    with VectorStore(tmp_path / "s.h5") as read:
        assert read.words(slice(None)) == [["good"]]
        np.testing.assert_array_equal(read.vectors[:], np.ones((1, DIM)))


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "int8"},
        {"dim": 0},
        {"compression": "zip"},
        {"metadata": {"x": np.nan}},
    ],
)
def test_bad_arguments_create_nothing(tmp_path, monkeypatch, options):
    with pytest.raises((ValueError, TypeError)):
        StoreWriter(tmp_path / "s.h5", **({"dim": DIM} | options))
    assert not list(tmp_path.iterdir())


def test_resume_after_exception(tmp_path):
    path = tmp_path / "s.h5"
    for stop in (0, 1, 23, 23, 40):
        write_some(path, stop, resume=True)
        assert not path.exists()
        with StoreWriter(path, dim=DIM, metadata=METADATA, resume=True) as writer:
            assert writer.num_sentences == stop
            writer.close()
    write(path, resume=True)
    check_corpus(path)
    write(tmp_path / "uninterrupted.h5")
    assert path.read_bytes() == (tmp_path / "uninterrupted.h5").read_bytes()


def test_commits_by_size_and_by_time(tmp_path):
    with StoreWriter(tmp_path / "a.h5", dim=DIM, commit_bytes=1000) as writer:
        committed = []
        for index in range(CORPUS_SIZE):
            writer.append(*sentence(index))
            committed.append(writer.num_sentences)
    assert len(set(committed)) > 4
    assert all(index - count < 15 for index, count in enumerate(committed))
    with StoreWriter(tmp_path / "b.h5", dim=DIM, commit_seconds=0.0) as writer:
        writer.append(*sentence(0))
        assert writer.num_sentences == 1
    with StoreWriter(tmp_path / "c.h5", dim=DIM) as writer:
        writer.append(*sentence(0))
        assert writer.num_sentences == 0
    assert writer.num_sentences == 1


def test_partial_store_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "s.h5"
    write_some(path, 20)
    with pytest.raises(FileExistsError, match=r"s.h5.partial holds 20 .*resume=True"):
        write(path)
    with pytest.raises(FileNotFoundError, match=r"first 20 sentences.*resume=True"):
        VectorStore(path)
    write(path, overwrite=True)
    check_corpus(path)


def test_finished_store_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "s.h5"
    write(path, stop=10)
    with pytest.raises(FileExistsError, match=r"s.h5 exists: overwrite=True"):
        write(path)
    with pytest.raises(FileExistsError, match=r"already complete, with 10 sentences"):
        write(path, resume=True)
    with pytest.raises(ValueError, match=r'dtype = "float32", this run has "float16"'):
        write(path, resume=True, dtype="float16")
    assert [file.name for file in tmp_path.iterdir()] == ["s.h5"]
    check_corpus(path, 10)


def test_overwritten_store_stays_until_replaced(tmp_path):
    path = tmp_path / "s.h5"
    write(path, stop=10)
    write_some(path, 20, overwrite=True)
    with VectorStore(path) as read:
        assert len(read) == 10
    # Not this store's scaffold: someone may want to go on with it.
    with pytest.raises(FileExistsError, match=r"complete.* without .*s.h5.partial"):
        write(path, resume=True)
    with StoreWriter(
        path, dim=DIM, metadata=METADATA, resume=True, overwrite=True
    ) as writer:
        assert writer.num_sentences == 20
        writer.close()
    write(path, resume=True, overwrite=True)
    check_corpus(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 9}, r"dim = 8, this run has 9"),
        ({"dtype": "float16"}, r'dtype = "float32", this run has "float16"'),
        (
            {"metadata": METADATA | {"model": "elmo"}},
            r"metadata\['model'\] = \"bert\", this run has \"elmo\"",
        ),
        (
            {"metadata": METADATA | {"cased": 1}},
            r"metadata\['cased'\] = true, this run has 1",
        ),
        (
            {"metadata": METADATA | {"pool": "mean"}},
            r"metadata\['pool'\] = absent, this run has \"mean\"",
        ),
        ({"metadata": None}, r"metadata\['model'\] = \"bert\", this run has absent"),
    ],
)
def test_resuming_another_run_is_an_error(tmp_path, change, message):
    path = tmp_path / "s.h5"
    write_some(path, 20)
    with pytest.raises(ValueError, match=message):
        StoreWriter(path, **({"dim": DIM, "metadata": METADATA} | change), resume=True)
    write(path, resume=True)
    check_corpus(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda partial: (partial / "journal.json").write_text('{"format": 1'),
        lambda partial: (partial / "journal.json").write_text('{"format": 0}'),
        lambda partial: (partial / "journal.json").write_text('{"format": 1}'),
        lambda partial: (partial / "words").unlink(),
        lambda partial: os.truncate(partial / "vectors", 10),
    ],
)
def test_damaged_partial_store(tmp_path, damage):
    path = tmp_path / "s.h5"
    write_some(path, 20)
    damage(partial_of(path))
    with pytest.raises(ValueError, match=r"s.h5.partial.*overwrite=True"):
        write(path, resume=True)
    write(path, overwrite=True)
    check_corpus(path)


@pytest.mark.parametrize("array", ["vectors", "offsets", "words", "word_offsets"])
def test_a_partial_store_with_one_changed_bit_is_not_resumed(tmp_path, array):
    path = tmp_path / "s.h5"
    write_some(path, 20)
    raw = partial_of(path) / array
    whole = raw.read_bytes()
    for at in (0, len(whole) // 2, len(whole) - 1):
        raw.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=rf"{array} is damaged.*overwrite=True"):
            write(path, resume=True)
    raw.write_bytes(whole + b"what was not committed")
    write(path, resume=True)
    check_corpus(path)


@pytest.mark.parametrize(
    "change",
    [
        {"num_sentences": 10},
        {"num_rows": None},
        {"num_bytes": -1},
        {"dim": 10**12},
        {"dim": 4},
        {"dtype": "float31"},
        {"metadata": []},
        {"checksums": {"vectors": 0}},
    ],
)
@pytest.mark.parametrize("is_sealed", [True, False])
def test_what_a_journal_claims_is_held_against_the_data(tmp_path, change, is_sealed):
    path = tmp_path / "s.h5"
    write_some(path, 20)
    file = partial_of(path) / "journal.json"
    fields = json.loads(file.read_text()) | change
    if not is_sealed:  # as an earlier version wrote it
        del fields["checksum"]
        fields = {"checksums": {}} | fields if "checksums" in change else fields
    file.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=r"s.h5.partial.*(overwrite=True|agree)"):
        write(path, resume=True)


def test_a_journal_without_checksums_is_resumed_and_has_them_from_then_on(tmp_path):
    path = tmp_path / "s.h5"
    write_some(path, 20)
    file = partial_of(path) / "journal.json"
    fields = json.loads(file.read_text())
    kept = fields.pop("checksums")
    del fields["checksum"]
    file.write_text(json.dumps(fields))
    write_some(path, 20, resume=True)
    assert json.loads(file.read_text())["checksums"] == kept
    write(path, resume=True)
    check_corpus(path)


def test_what_changes_before_the_store_is_built_is_noticed(tmp_path):
    path = tmp_path / "s.h5"
    with StoreWriter(path, dim=DIM, metadata=METADATA) as writer:
        for index in range(CORPUS_SIZE):
            writer.append(*sentence(index))
        writer.close()
    writer = StoreWriter(path, dim=DIM, metadata=METADATA, resume=True)
    with (partial_of(path) / "vectors").open("r+b") as raw:
        raw.write(b"\1")
    with pytest.raises(ValueError, match=r"vectors is damaged.*overwrite=True"):
        writer.finish()
    assert not path.exists()


def read_all(path: Path) -> tuple[dict, list[bytes], list[list[str]]]:
    with VectorStore(path) as vectors:
        rows = [rows.tobytes() for rows in vectors]
        return vectors.metadata, rows, vectors.words(slice(None))


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_a_damaged_store_is_refused_by_name_or_right(tmp_path, compression):
    """No change of bits, bytes or stretches gives other values, in any compression."""
    path = tmp_path / "s.h5"
    write(path, compression=compression)
    whole, right = path.read_bytes(), read_all(path)
    rng = np.random.default_rng(0)
    places = [*rng.integers(len(whole), size=150), *range(0, 2000, 40)]
    refusals = []
    for number, place in enumerate(map(int, places)):
        changed = bytearray(whole)
        if number % 3 == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif number % 3 == 1:
            changed[place] = int(rng.integers(256))
        else:
            changed[place : place + 64] = bytes(len(changed[place : place + 64]))
        path.write_bytes(changed)
        try:
            found = read_all(path)
        except ValueError as error:
            refusals.append(str(error))
        else:
            assert found == right, place
    assert len(refusals) > 100
    assert all("s.h5" in line and "\n" not in line for line in refusals)


def test_a_store_of_an_earlier_version_is_read(tmp_path):
    """Contiguous, of the oldest format of HDF5, without checksums."""
    path = tmp_path / "s.h5"
    write(path, compression=None)
    with VectorStore(path) as vectors, h5py.File(tmp_path / "old.h5", "w") as old:
        for name in ("format", "dtype", "metadata"):
            old.attrs[name] = vectors.vectors.file.attrs[name]
        for name in ("vectors", "offsets", "words", "word_offsets"):
            old[name] = vectors.vectors.file[name][:]
    check_corpus(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as old:
        old["offsets"][5] = 1 << 40
    with pytest.raises(ValueError, match=r"old\.h5 is damaged"):
        VectorStore(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as old:
        old["offsets"][5] = old["offsets"][4]
        old["word_offsets"][7] = 1 << 40
    with (
        VectorStore(tmp_path / "old.h5") as vectors,
        pytest.raises(ValueError, match=r"old\.h5 is damaged"),
    ):
        vectors.words(slice(None))


def test_metadata_that_has_changed_is_refused(tmp_path):
    path = tmp_path / "s.h5"
    write(path)
    with h5py.File(path, "r+") as file:
        file.attrs["metadata"] = '{"model": "roberta"}'
    with pytest.raises(ValueError, match=r"s\.h5 is damaged, in its attributes"):
        VectorStore(path)


def test_what_lies_in_other_files_is_not_shown(tmp_path):
    path, other = tmp_path / "s.h5", tmp_path / "secret"
    write(path)
    other.write_bytes(b"a secret" * 100)
    with h5py.File(path, "r+") as file:
        num_bytes = file["words"].shape[0]
        del file["words"]
        file.create_dataset("words", num_bytes, "u1", external=[(other, 0, num_bytes)])
    with pytest.raises(
        ValueError, match=r"s\.h5: words has its values in another file"
    ):
        VectorStore(path)
    write(path, overwrite=True)
    with h5py.File(path, "r+") as file:
        shape = file["vectors"].shape
        del file["vectors"]
        layout = h5py.VirtualLayout(shape, "<f4")
        layout[...] = h5py.VirtualSource("gone.h5", "vectors", shape, "<f4")
        file.create_virtual_dataset("vectors", layout)
    with pytest.raises(ValueError, match=r"s\.h5: vectors shows other files than its"):
        VectorStore(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "s.h5"
    write(path)
    whole = path.read_bytes()
    for size in [0, 1, 100, 1000, *range(2000, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"s.h5 is truncated.*write it again"):
            VectorStore(path)
        with pytest.raises(ValueError, match=r"s.h5 is truncated"):
            write(path, resume=True)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "s.h5"
    with pytest.raises(FileNotFoundError):
        VectorStore(path)
    path.write_text("word 0.1 0.2\n" * 1000)
    with pytest.raises(ValueError, match=r"s.h5 is truncated or no HDF5 file"):
        VectorStore(path)
    with h5py.File(path, "w") as file:
        file["0"] = np.zeros((3, 4, 5))
    with pytest.raises(ValueError, match=r"s.h5 is an HDF5 file but no vector store"):
        VectorStore(path)


@pytest.mark.parametrize("version", [0, 2])
def test_other_format_versions_are_refused(tmp_path, version):
    path = tmp_path / "s.h5"
    write(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = version
    with pytest.raises(ValueError, match=rf"s.h5 has format {version}.*write it again"):
        VectorStore(path)


@pytest.mark.parametrize("array", ["vectors", "offsets", "words", "word_offsets"])
def test_arrays_that_do_not_fit_are_refused(tmp_path, array):
    path = tmp_path / "s.h5"
    for change in (lambda kept: kept[:-1], lambda kept: None):
        write(path, overwrite=True)
        with h5py.File(path, "r+") as file:
            kept = file[array][:]
            del file[array]
            if (changed := change(kept)) is not None:
                file[array] = changed
        with pytest.raises(ValueError, match="damaged"):
            VectorStore(path)


def test_second_writer_is_refused(tmp_path):
    path = tmp_path / "s.h5"
    with StoreWriter(path, dim=DIM, metadata=METADATA) as writer:
        writer.append(*sentence(0))
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(
                BlockingIOError,
                match=r"partial is being written by process \d+",
            ):
                write(path, **options)
        for index in range(1, CORPUS_SIZE):
            writer.append(*sentence(index))
    check_corpus(path)


def test_lock_in_a_vanished_folder(tmp_path, monkeypatch):
    """A finishing writer may remove the folder between its opening and its locking."""
    path = tmp_path / "s.h5"
    flock = fcntl.flock
    vanishings = iter([True, True])

    def vanish_and_lock(file: Any, operation: int) -> None:
        if next(vanishings, False):
            (partial_of(path) / "lock").unlink()
            partial_of(path).rmdir()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", vanish_and_lock)
    with StoreWriter(path, dim=DIM, metadata=METADATA) as writer:
        with pytest.raises(BlockingIOError):
            write(path)
        for index in range(CORPUS_SIZE):
            writer.append(*sentence(index))
    check_corpus(path)


def test_closed_writer(tmp_path):
    with StoreWriter(tmp_path / "s.h5", dim=DIM) as writer:
        pass
    writer.close()
    with pytest.raises(RuntimeError, match="closed"):
        writer.append(*sentence(0))
    with pytest.raises(RuntimeError, match="closed"):
        writer.finish()


@pytest.mark.parametrize("where", ["append", "commit", "build", "rename"])
def test_full_disk(tmp_path, monkeypatch, where):
    path = tmp_path / "s.h5"
    write_some(path, 20)

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    is_full = False

    class FullFile:
        def __init__(self, file: Any):
            self.file = file

        def write(self, data: bytes) -> None:
            if not is_full:
                self.file.write(data)
                return
            # Half of it still fitted.
            self.file.write(data[: len(data) // 2])
            fail()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    if where == "append":
        opened = Path.open

        def open_on_full_disk(path: Path, *arguments: Any, **options: Any) -> Any:
            file = opened(path, *arguments, **options)
            is_written = path.name == "words" and "r" not in file.mode
            return FullFile(file) if is_written else file

        monkeypatch.setattr(Path, "open", open_on_full_disk)
    writer = StoreWriter(path, dim=DIM, metadata=METADATA, resume=True)
    for index in range(20, 30):
        writer.append(*sentence(index))
    is_full = True
    if where == "commit":
        monkeypatch.setattr(os, "fsync", fail)
    elif where == "build":
        monkeypatch.setattr(h5py.Dataset, "__setitem__", fail)
    elif where == "rename":
        rename = Path.replace
        monkeypatch.setattr(
            Path,
            "replace",
            lambda old, new: fail() if old.name == "finished.h5" else rename(old, new),
        )

    def write_rest() -> None:
        with writer:
            for index in range(30, CORPUS_SIZE):
                writer.append(*sentence(index))

    safe = 20 if where in ("append", "commit") else CORPUS_SIZE
    message = rf"No space left.* first {safe} sentences are safe.*resume=True"
    with pytest.raises(OSError, match=message) as caught:
        write_rest()
    assert caught.value.errno == errno.ENOSPC
    assert not path.exists()
    assert not (partial_of(path) / "finished.h5").exists()
    monkeypatch.undo()

    with StoreWriter(path, dim=DIM, metadata=METADATA, resume=True) as writer:
        assert writer.num_sentences == safe
        writer.close()
    write(path, resume=True)
    check_corpus(path)


def test_a_swallowed_failure_is_not_finished(tmp_path, monkeypatch):
    path = tmp_path / "s.h5"

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_on() -> None:
        with StoreWriter(path, dim=DIM, metadata=METADATA, commit_bytes=1) as writer:
            for index in range(20):
                writer.append(*sentence(index))
            monkeypatch.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="No space left"):
                writer.append(*sentence(20))
            monkeypatch.undo()
            with pytest.raises(RuntimeError, match="failed halfway"):
                writer.append(*sentence(20))

    with pytest.raises(RuntimeError, match="failed halfway"):
        write_on()
    assert not path.exists()
    write(path, resume=True)
    check_corpus(path)


def test_file_size_limits(tmp_path):
    """An error of the real file system, wherever in a file it strikes."""
    run_harness("limits", tmp_path)


def test_killed_at_any_line(tmp_path):
    run_harness("lines", tmp_path, 61)


@pytest.mark.slow
def test_killed_at_very_many_lines(tmp_path):
    run_harness("lines", tmp_path, stride_of(7))


def test_killed_at_any_time(tmp_path):
    run_harness("times", tmp_path, 40)


@pytest.mark.slow
def test_killed_at_very_many_times(tmp_path):
    run_harness("times", tmp_path, number_of(600))


def test_lock_dies_with_its_writer(tmp_path):
    run_harness("lock", tmp_path)


def run_harness(name: str, folder: Path, *arguments: int) -> None:
    """Run one of HARNESSES where it can fork: in a process without JAX's threads."""
    command = [sys.executable, "-W", "error", __file__, name, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def live_and_die(
    path: Path, size: int, arm: Callable[[], object], delay: float | None = None
) -> tuple[bool, int]:
    """Write the rest of the corpus in a child which kills itself or is killed.

    Returns whether it ended by itself, and how many sentences it called safe.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            arm()
            write_reporting(path, size, writer)
            status = 0
        except FileExistsError as error:
            status = 0 if "already complete" in str(error) else 1
        finally:
            os._exit(status)
    os.close(writer)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        reports = np.frombuffer(pipe.read(), np.int64)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or os.waitstatus_to_exitcode(status) == 0
    return not killed, int(reports.max(initial=0))


def write_reporting(path: Path, size: int, report: int) -> None:
    """Write with a commit every few sentences, telling each one."""
    with StoreWriter(
        path, dim=DIM, metadata=METADATA, resume=True, commit_bytes=200
    ) as writer:
        told = -1
        for index in range(writer.num_sentences, size):
            writer.append(*sentence(index))
            if writer.num_sentences > told:
                told = writer.num_sentences
                os.write(report, np.int64(told).tobytes())


def check_survivors(path: Path, size: int, told: int) -> None:
    """Nothing that was called safe is lost, and `path` is complete or absent."""
    if path.exists():
        with VectorStore(path) as read:
            assert len(read) == size
    elif told:
        with StoreWriter(path, dim=DIM, metadata=METADATA, resume=True) as writer:
            assert told <= writer.num_sentences <= size
            writer.close()


def check_finished(path: Path, size: int, expected: bytes) -> None:
    with pytest.raises(FileExistsError, match="already complete"):
        write(path, stop=size, resume=True)
    # Unless the very moment between its renaming and its removal was hit.
    if partial_of(path).exists():
        write(path, stop=size, resume=True, overwrite=True)
    check_corpus(path, size)
    assert path.read_bytes() == expected
    path.unlink()


def die_at_line(number: int) -> None:
    """Kill this process when it has begun that many lines of what writes a store."""
    count, code = 0, {Path(module.__file__).parent for module in (store, sync)}

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if Path(frame.f_code.co_filename).parent not in code:
            return None
        count += event == "line"
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def kill_at_lines(folder: Path, stride: int) -> None:
    """Kill a first run at every stride-th line, and a second somewhere."""
    size, path, draw = 12, folder / "killed.h5", random.Random(0)
    write(folder / "whole.h5", size)
    expected = (folder / "whole.h5").read_bytes()
    number, survived = 1, False
    while not survived:
        survived, told = live_and_die(path, size, lambda: die_at_line(number))  # noqa: B023
        check_survivors(path, size, told)
        again = draw.randrange(1, 400)
        _, told = live_and_die(path, size, lambda: die_at_line(again))  # noqa: B023
        check_survivors(path, size, told)
        if not path.exists():
            write(path, size, resume=True)
        check_finished(path, size, expected)
        number += stride
    assert number > 500


def kill_at_times(folder: Path, kills: int) -> None:
    """Kill runs after random times, each going on where the last one died."""
    size, path, draw = 100, folder / "killed.h5", random.Random(0)
    write(folder / "whole.h5", size)
    expected = (folder / "whole.h5").read_bytes()
    while kills > 0:
        told, survived, patience = 0, False, 0.02
        while not survived:
            delay = draw.uniform(0, patience)
            survived, now_told = live_and_die(path, size, lambda: None, delay)
            told = max(told, now_told)
            check_survivors(path, size, told)
            kills -= not survived
            patience *= 1.1
        check_finished(path, size, expected)


def meet_size_limits(folder: Path) -> None:
    path = folder / "limited.h5"
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Half of the vectors fit into their file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    with pytest.raises(OSError, match=r"File too large.*sentences are safe"):
        write(path, commit_bytes=500)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not path.exists()
    with StoreWriter(path, dim=DIM, metadata=METADATA, resume=True) as writer:
        assert 10 < writer.num_sentences < CORPUS_SIZE
        writer.close()

    # Now the vectors fit, but not the HDF5 file, which is about 14 kB long.
    write_some(path, CORPUS_SIZE, resume=True)
    for limit in range(4000, 24000, 500):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        with pytest.raises(OSError, match=r"File too large.* 60 sentences are safe"):
            write(path, resume=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert not path.exists()
    write(path, resume=True)
    check_corpus(path)


def outlive_lock(folder: Path) -> None:
    path = folder / "locked.h5"
    child = os.fork()
    if child == 0:
        write_some(path, 20)
        _keep = StoreWriter(path, dim=DIM, metadata=METADATA, resume=True)
        (folder / "ready").touch()
        signal.pause()
    while not (folder / "ready").exists():
        time.sleep(0.01)
    with pytest.raises(BlockingIOError):
        write(path, resume=True)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    write(path, resume=True)
    check_corpus(path)


HARNESSES = {
    "lines": kill_at_lines,
    "times": kill_at_times,
    "limits": meet_size_limits,
    "lock": outlive_lock,
}

if __name__ == "__main__":
    HARNESSES[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))


def test_a_link_stays_one_and_the_store_is_written_where_it_points(tmp_path):
    disk, link = tmp_path / "disk", tmp_path / "s.h5"
    disk.mkdir()
    link.symlink_to(disk / "vectors.h5")
    write_some(link, 20)
    assert partial_of(disk / "vectors.h5").exists()
    write(link, resume=True)
    assert link.is_symlink()
    check_corpus(link)
    check_corpus(disk / "vectors.h5")
    write(link, overwrite=True)
    assert link.is_symlink()
    assert [path.name for path in disk.iterdir()] == ["vectors.h5"]


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_folder_of_somebody_elses_is_not_written_in(tmp_path, options):
    """Whose name and whose files are by chance those of a store that grows."""
    path = tmp_path / "s.h5"
    partial_of(path).mkdir()
    words = partial_of(path) / "words"
    words.write_text("mine")
    with pytest.raises(FileExistsError, match=r"s\.h5\.partial is not of an unfinish"):
        write(path, **options)
    assert words.read_text() == "mine"
    assert [entry.name for entry in partial_of(path).iterdir()] == ["words"]


# Finding a sentence, and workers of a data loader


def write_texts(path: Path, texts: list[str]) -> None:
    with StoreWriter(path, dim=1) as writer:
        for text in texts:
            words = text.split(" ") if text else []
            writer.append(np.ones((len(words), 1), np.float32), words)


def test_a_sentence_is_found_by_its_text_or_words(tmp_path):
    texts = ["The bank .", "a river", "", "The bank .", "Th ebank.", "über dem Fluß"]
    write_texts(tmp_path / "v.h5", texts)
    with VectorStore(tmp_path / "v.h5") as vectors:
        assert vectors.find("a  river\n") == [1]
        # The text is not kept, where the words of it stood is.
        assert vectors.find("The bank.") == [0, 3, 4]
        assert vectors.find(["The", "bank", "."]) == [0, 3]
        assert vectors.find("über dem Fluß") == [5]
        assert vectors.find("") == vectors.find([]) == [2]
        assert vectors.find("river") == []
        assert "a river" in vectors
        assert ["a", "river"] in vectors
        assert ["ariver"] not in vectors
        with pytest.raises(TypeError, match="look for a text or a list of words"):
            assert np.ones(3) in vectors


def test_words_are_read_once_to_find_sentences(tmp_path, monkeypatch):
    write_texts(tmp_path / "v.h5", [f"w{n} x" for n in range(50)])
    with VectorStore(tmp_path / "v.h5") as vectors:
        assert vectors.find("w7 x") == [7]
        reads = []
        read = vectors.words
        monkeypatch.setattr(
            vectors, "words", lambda index: reads.append(index) or read(index)
        )
        assert vectors.find("w9 x") == [9]
        assert vectors.find("nowhere") == []
        assert reads == [9]


def test_texts_of_one_digest_are_told_apart(tmp_path, monkeypatch):
    write_texts(tmp_path / "v.h5", ["a b", "c d", "a b"])
    monkeypatch.setattr(text_index, "digest_of", lambda sentence: 7)
    with VectorStore(tmp_path / "v.h5") as vectors:
        assert vectors.find("a b") == [0, 2]
        assert vectors.find(["c", "d"]) == [1]
        assert vectors.find("e") == []


def test_a_pickled_store_is_opened_where_it_is_read(tmp_path, monkeypatch):
    write(tmp_path / "v.h5", dtype="bfloat16")
    monkeypatch.chdir(tmp_path)
    with VectorStore("v.h5") as vectors:
        content, expected = pickle.dumps(vectors), vectors[3]
        monkeypatch.chdir("/")
        opened = []
        monkeypatch.setattr(
            reader, "open_store", lambda path: opened.append(path) or open_store(path)
        )
        again = pickle.loads(content)
        again.close()
        twice = pickle.loads(pickle.dumps(again))
        assert not opened
        assert len(twice) == len(vectors)
        np.testing.assert_array_equal(twice[3], expected)
        assert (twice.dim, twice.dtype) == (vectors.dim, vectors.dtype)
        assert twice.metadata == vectors.metadata
        assert opened == [tmp_path / "v.h5"]
        twice.close()
    write(tmp_path / "v.h5", 20, overwrite=True, dtype="bfloat16")
    again = pickle.loads(content)
    for _ in range(2):  # Who asks once more gets no number of the other one.
        with pytest.raises(ValueError, match="another store than the one"):
            len(again)
    assert pickle.loads(pickle.dumps(again)).path == again.path


def test_threads_may_read_a_pickled_store_at_once(tmp_path, monkeypatch):
    write(tmp_path / "v.h5")
    with VectorStore(tmp_path / "v.h5") as vectors:
        again, number = pickle.loads(pickle.dumps(vectors)), len(vectors)
    both = threading.Barrier(2)

    def open_with_another(path):
        both.wait(10)
        return open_store(path)

    monkeypatch.setattr(reader, "open_store", open_with_another)
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(len, again) for _ in range(2)]
        assert [each.result() for each in found] == [number, number]
    again.close()
