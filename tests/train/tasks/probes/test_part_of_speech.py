# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from train.tasks.probes.linear_probe import ProbeConfig
from train.tasks.probes.part_of_speech import (
    PosTask,
    find_tagged_words,
    most_frequent_tags,
    read_tagged_words,
)

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


CONLL_U = """\
# text = al mar
1-2\tal\t_\t_\t_\t_\t_\t_\t_\t_
1\ta\ta\tADP\tsps\t_\t3\tcase\t_\t_
2\tel\tel\tDET\tda\t_\t3\tdet\t_\t_
3\tmar\tmar\tNOUN\tnc\t_\t0\troot\t_\t_

1\tva\tir\tVERB\t_\t_\t0\troot\t_\t_
1.1\tél\tél\tPRON\t_\t_\t_\t_\t_\t_
"""


def test_a_treebank_is_read_as_it_comes(tmp_path: Path):
    """The words that are analysed have the tags, not a contraction."""
    for split in ("train", "dev", "test"):
        path = tmp_path / f"es_x-ud-{split}.conllu"
        path.write_text(CONLL_U, encoding="utf-8")
    first, second = read_tagged_words(find_tagged_words(tmp_path, "dev"))
    assert (first.words, first.upos) == (("a", "el", "mar"), ("ADP", "DET", "NOUN"))
    assert (second.words, second.xpos) == (("va",), ("_",))
    PosTask(tmp_path, ("upos", "xpos"), ProbeConfig())
    (tmp_path / "dev.tsv").write_text("a\tX\tx\n")
    with pytest.raises(ValueError, match=r"has dev.tsv, es_x-ud-dev.conllu for dev;"):
        find_tagged_words(tmp_path, "dev")
    with pytest.raises(ValueError, match=r"has no file for dev2; it needs one of dev2"):
        find_tagged_words(tmp_path, "dev2")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (("_ _", "N", "N"), "no word of train has a tag, all are '_'; --tags chooses"),
        (("N N", "N", "N"), "every word of train has the same tag of upos, 'N'"),
    ],
)
def test_where_nothing_can_be_learnt_it_is_said_why(tags, message, tmp_path: Path):
    for split, held in zip(("train", "dev", "test"), tags, strict=True):
        lines = (f"w\t{tag}\tX\n" for tag in held.split())
        (tmp_path / f"{split}.tsv").write_text("".join(lines))
    with pytest.raises(ValueError, match=message):
        PosTask(tmp_path, ("upos",), ProbeConfig())
