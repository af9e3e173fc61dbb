# SPDX-License-Identifier: Apache-2.0
"""Lines as they are, and a bad byte found before anything expensive starts."""

import gzip

import hypothesis
import hypothesis.strategies as st
import pytest

from embed_jax.corpus.text import read_lines, survey


@hypothesis.given(
    lines=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"))
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
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\n\ntwo\x00\x0b\xe2\x80\xa8three")
    assert list(read_lines(path)) == ["one", "", "", "two\x00\x0b\u2028three"]


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


def test_an_empty_file_has_no_lines(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"")
    assert list(read_lines(path)) == []
    assert survey(path).num_lines == 0
