# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from train.tasks.probes.part_of_speech import most_frequent_tags, read_tagged_words

TEXT = "The\tDET\tDT\tthe\n#\tSYM\t#\t#\n\n\nit\tPRON\tPRP\n"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_sentences(newline: str, tmp_path: Path):
    path = tmp_path / "a.tsv"
    path.write_bytes(TEXT.replace("\n", newline).encode())
    first, second = read_tagged_words(path)
    assert first.words == ("The", "#")
    assert first.tags("upos") == ("DET", "SYM")
    assert first.tags("xpos") == ("DT", "#")
    assert second.words == ("it",)


@pytest.mark.parametrize("line", ["alone", "a\tDET", "\tDET\tDT", "a\t\tDT"])
def test_a_bad_line_is_named(line: str, tmp_path: Path):
    path = tmp_path / "a.tsv"
    path.write_text(TEXT + line)
    with pytest.raises(ValueError, match=r"a\.tsv:6: expected a word and two tags"):
        read_tagged_words(path)


def test_a_file_without_sentences(tmp_path: Path):
    path = tmp_path / "a.tsv"
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="has no sentences"):
        read_tagged_words(path)


def test_most_frequent_tags():
    words = "run run run walk the the dog".split()
    tags = "VERB NOUN VERB NOUN DET DET NOUN".split()
    # NOUN is the most frequent of all; The is another word than the.
    asked = "run walk the The cat".split()
    expected = "VERB NOUN DET NOUN NOUN".split()
    assert most_frequent_tags(words, tags, asked) == expected
    tie = most_frequent_tags(["a", "a"], ["X", "Y"], ["a", "b"])
    assert tie == ["X", "X"]


@pytest.mark.data
def test_the_treebank_has_as_many_as_its_source_says(data_dir: Path):
    sentences = read_tagged_words(data_dir / "pos_ud_english_ewt/dev.tsv")
    assert len(sentences) == 2001
    assert sum(len(sentence.words) for sentence in sentences) == 25147
    assert len({tag for sentence in sentences for tag in sentence.upos}) == 17


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes("a\tb\tc\n".encode("utf-16"))
    with pytest.raises(ValueError, match="but UTF-16"):
        read_tagged_words(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="git lfs pull"):
        read_tagged_words(path)
