# SPDX-License-Identifier: Apache-2.0
"""Files are held against the checksums beside them, and there is a way out."""

import json
from pathlib import Path

import numpy as np
import pytest

from embed_jax.files import checked_files
from embed_jax.files.checked_files import (
    CHECKSUMS,
    Remedies,
    check_files,
    write_checksums,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"dim": 3}')
    (tmp_path / "vocab.txt").write_text("the\na\n")
    (tmp_path / "folder").mkdir()
    write_checksums(tmp_path)
    return tmp_path


def test_what_is_as_it_was_written_passes(directory: Path):
    assert check_files(directory)
    assert check_files(directory, ["vocab.txt", "unlisted.txt"])
    (directory / CHECKSUMS).unlink()
    assert not check_files(directory)


@pytest.mark.parametrize("block_bytes", [1 << 24, 1 << 8])
def test_no_bit_of_any_file_may_change(
    tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checked_files, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    for name, size in (("a", 3000), ("b", 256), ("c", 257), ("empty", 0)):
        (tmp_path / name).write_bytes(rng.bytes(size))
    write_checksums(tmp_path)
    assert check_files(tmp_path)
    for file in sorted(tmp_path.iterdir()):
        whole = file.read_bytes()
        places = rng.integers(len(whole), size=20).tolist() if whole else []
        for at in places:
            changed = bytearray(whole)
            changed[at] ^= 1 << int(rng.integers(8))
            file.write_bytes(changed)
            with pytest.raises(ValueError, match=file.name):
                check_files(tmp_path)
        file.write_bytes(whole + b"\0")
        with pytest.raises(ValueError, match=rf"{file.name} is "):
            check_files(tmp_path)
        file.write_bytes(whole)


def test_no_file_outside_the_directory_is_read(directory: Path):
    held = json.loads((directory / CHECKSUMS).read_text())
    held["files"][f"../{directory.name}/vocab.txt"] = held["files"].pop("vocab.txt")
    del held["checksum"]
    (directory / CHECKSUMS).write_text(json.dumps(held))
    with pytest.raises(ValueError, match=r"checksums\.json is damaged: it holds no"):
        check_files(directory)


@pytest.mark.parametrize("content", ["the\nb\n", "the\n", "", "the\na\nb\n"])
def test_a_changed_file_is_refused_with_the_way_out(directory: Path, content: str):
    (directory / "vocab.txt").write_text(content)
    check_files(directory, ["config.json"])
    with pytest.raises(ValueError, match=r"vocab\.txt is damaged: it is not what"):
        check_files(directory)
    (directory / CHECKSUMS).unlink()
    check_files(directory)


def test_a_file_that_was_removed_is_for_its_reader_to_miss(directory: Path):
    (directory / "vocab.txt").unlink()
    check_files(directory)
    remedies = Remedies("prepare it again", "remove both")
    with pytest.raises(ValueError, match=r"vocab\.txt: no such file; prepare it again"):
        check_files(directory, remedies=remedies, all_there=True)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "[" * 100_000, "{}", '{"files": []}'),
        '{"files": {"../x": {}}}',
        '{"block_bytes": 16777216, "files": {"a": {"bytes": 3, "crc32": "00000000"}}}',
        '{"block_bytes": 1, "files": {}}',
    ],
)
def test_damaged_checksums_are_refused_by_name(directory: Path, content: str):
    (directory / CHECKSUMS).write_text(content)
    with pytest.raises(ValueError, match=r"checksums\.json .*delete it, and the files"):
        check_files(directory)


def test_checksums_may_be_written_again_of_some_files(directory: Path):
    write_checksums(directory, ["vocab.txt"])
    assert list(json.loads((directory / CHECKSUMS).read_text())["files"]) == [
        "vocab.txt"
    ]
