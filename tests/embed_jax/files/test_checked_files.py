# SPDX-License-Identifier: Apache-2.0
"""Files are held against the checksums beside them, and there is a way out."""

import json
from pathlib import Path

import pytest

from embed_jax.files.checked_files import CHECKSUMS, check_files, write_checksums


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"dim": 3}')
    (tmp_path / "vocab.txt").write_text("the\na\n")
    (tmp_path / "folder").mkdir()
    write_checksums(tmp_path)
    return tmp_path


def test_what_is_as_it_was_written_passes(directory: Path):
    check_files(directory)
    check_files(directory, ["vocab.txt", "unlisted.txt"])


@pytest.mark.parametrize("content", ["the\nb\n", "the\n", "", "the\na\nb\n"])
def test_a_changed_file_is_refused_with_the_way_out(directory: Path, content: str):
    (directory / "vocab.txt").write_text(content)
    check_files(directory, ["config.json"])
    with pytest.raises(ValueError, match=r"vocab\.txt is not what was written there"):
        check_files(directory)
    (directory / CHECKSUMS).unlink()
    check_files(directory)


def test_a_file_that_was_removed_is_for_its_reader_to_miss(directory: Path):
    (directory / "vocab.txt").unlink()
    check_files(directory)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"files": []}', '{"files": {"../x": {}}}']
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
