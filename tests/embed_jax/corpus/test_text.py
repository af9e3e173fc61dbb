# SPDX-License-Identifier: Apache-2.0
"""Lines as they are, and a bad byte found before anything expensive starts."""

import gzip
import os

import hypothesis
import hypothesis.strategies as st
import pytest

from embed_jax.corpus import lines as lines_file
from embed_jax.corpus.layout import Layout
from embed_jax.corpus.lines import decode_text, read_lines
from embed_jax.corpus.text import survey, unchanged


@hypothesis.given(
    lines=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"))
    )
)
def test_only_line_feeds_end_lines(lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    if lines and lines[0].startswith("\ufeff"):
        lines = [lines[0][1:], *lines[1:]]
    assert list(read_lines(path)) == lines
    assert survey(path).num_lines == len(lines)


def test_line_ends_blank_lines_byte_order_mark_and_no_last_line_feed(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\n\ntwo\x1c\x0b\xe2\x80\xa8three")
    assert list(read_lines(path)) == ["one", "", "", "two\x1c\x0b\u2028three"]


def test_a_text_of_carriage_returns_alone_is_not_one_sentence(tmp_path):
    path = tmp_path / "old.txt"
    for content in (b"one\rtwo\rthree\r", b"one\rtwo"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"old\.txt has .* no line feed.*tr '\\r'"):
            survey(path)
    # What some program showed of its progress, and a last line without its line feed.
    path.write_bytes(b"10 %\r20 %\r\ntwo\r")
    assert list(read_lines(path)) == ["10 %\r20 %", "two"]
    path.write_bytes(b"one\r")
    assert list(read_lines(path)) == ["one"]


def test_gzip_is_read_and_a_cut_file_refused(tmp_path):
    path = tmp_path / "corpus.txt.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n" * 1000))
    assert list(read_lines(path))[:3] == ["one", "two", "one"]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged or cut short"):
        survey(path)


def test_a_bad_byte_is_named_with_file_line_and_place(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes("fine\ncaf\u00e9".encode("latin-1"))
    with pytest.raises(ValueError, match=r"corpus.txt, line 2: byte 4 \(0xe9\)"):
        survey(path)


def test_a_survey_tells_corpora_apart(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("one\ntwo\n")
    first = survey(path)
    assert (first.num_lines, first.num_bytes) == (2, 8)
    path.write_text("one\ntwa\n")
    assert survey(path).digest != first.digest


def test_a_text_that_changes_after_its_survey_is_refused(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("one\ntwo\n")
    surveyed = survey(path)
    with unchanged(path, surveyed):
        pass
    path.write_text("one\ntwo\nthree\n")
    changed = pytest.raises(ValueError, match="was changed while it was read")
    with changed, unchanged(path, surveyed):
        pass
    # That may be why it could not be read.
    with changed, unchanged(path, surveyed):
        raise ValueError("zip() argument 2 is shorter than argument 1")
    with changed, unchanged(path):
        path.write_text("one\n")
    with pytest.raises(OSError, match="no room"), unchanged(path):
        raise OSError("no room")


def test_what_is_touched_is_read_again_as_it_was_surveyed(tmp_path):
    path, layout = tmp_path / "corpus.jsonl", Layout(field="body")
    path.write_text('{"text": "one", "body": "two"}\n')
    surveyed = survey(path, layout=layout)
    with unchanged(path, surveyed, layout):
        os.utime(path, (1, 1))
    changed = pytest.raises(ValueError, match="was changed while it was read")
    with changed, unchanged(path, surveyed, layout):
        path.write_text('{"text": "one", "body": "twi"}\n')


@pytest.mark.parametrize("name", ["corpus.txt", "corpus.conllu", "corpus.jsonl"])
def test_a_text_that_is_touched_after_its_survey_has_not_changed(tmp_path, name):
    path = tmp_path / name
    text = {
        "corpus.txt": "one\ntwo\n",
        "corpus.conllu": "1\tone\t_\t_\t_\t_\t_\t_\t_\t_\n\n",
        "corpus.jsonl": '{"text": "one two"}\n',
    }[name]
    path.write_text(text)
    surveyed = survey(path)
    with unchanged(path, surveyed):
        os.utime(path, (1, 1))
    with pytest.raises(OSError, match="no room"), unchanged(path, surveyed):
        raise OSError("no room")
    changed = pytest.raises(ValueError, match="was changed while it was read")
    with changed, unchanged(path, surveyed):
        path.write_text(text.replace("one", "own"))


def test_an_empty_file_has_no_lines(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"")
    assert list(read_lines(path)) == []
    assert survey(path).num_lines == 0


TEXT = "The café was closed .\nA bank .\n"


@pytest.mark.parametrize(
    ("name", "content", "remedy"),
    [
        (
            "a.txt",
            TEXT.encode("utf-16"),
            r"a.txt is not .* but UTF-16: .*iconv -f utf-16 ",
        ),
        ("a.txt", TEXT.encode("utf-16-le"), "iconv -f utf-16le "),
        ("a.txt", "Он был .\n".encode("utf-16-be"), "iconv -f utf-16be "),
        ("a.txt", gzip.compress(b"one\n", mtime=0), "but gzip: .*ends in .gz"),
        ("a.txt", b"PK\x03\x04", "but a ZIP archive"),
        ("a.txt", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("a.txt", b"<!DOCTYPE html>\n", "a web page"),
        ("a.txt.gz", b"<!DOCTYPE html>\n", "is not gzip but a web page"),
        ("a.txt.gz", b"one\ntwo\n", "not gzip: if it is text, leave .gz out"),
        ("a.txt.gz", gzip.compress(TEXT.encode("utf-16"), mtime=0), "but UTF-16"),
        ("a.txt", b"one\ntw\0o\n", r"line 2: character 3 is a NUL.* tr -d '\\000'"),
        ("a.txt", b"one\ncaf\xc3", "cut short there, or of another encoding"),
    ],
)
def test_a_file_that_is_no_text_is_named_with_its_own_remedy(
    tmp_path, name, content, remedy
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=remedy) as refused:
        survey(path)
    assert "latin1" not in str(refused.value) or "cut short" in remedy
    with pytest.raises(ValueError, match=remedy):
        list(read_lines(path))


@pytest.mark.parametrize("name", ["corpus.txt", "corpus.txt.gz"])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path, monkeypatch, name
):
    monkeypatch.setattr(lines_file, "LONGEST_LINE", 1 << 12)
    path = tmp_path / name
    content = b"one\n" + b"a" * ((1 << 12) - 1) + b"\n"
    opener = gzip.open if name.endswith(".gz") else open
    with opener(path, "wb") as file:
        file.write(content)
    assert survey(path).num_lines == 2
    with opener(path, "ab") as file:
        file.write(b"b" * (1 << 12) + b"\n")
    with pytest.raises(ValueError, match=r"line 3 is longer than 4,096 bytes"):
        survey(path)


def test_what_can_be_read_once_is_refused_by_what_reads_twice(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"pipe can be read only once"):
        survey(path)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_small_file_is_decoded_whole(mark):
    content = "the\r\ncafé\n".encode()
    assert decode_text(mark + content, "vocab.txt") == "the\r\ncafé\n"
    with pytest.raises(ValueError, match=r"vocab.txt, line 2: byte 4 \(0xe9\)"):
        decode_text(b"the\ncaf\xe9\n", "vocab.txt")
    with pytest.raises(ValueError, match=r"vocab.txt is not text in UTF-8 but gzip"):
        decode_text(gzip.compress(content), "vocab.txt")
