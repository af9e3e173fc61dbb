# SPDX-License-Identifier: Apache-2.0
"""Recognising a file that is something else than its name says."""

import bz2
import gzip
import lzma

import pytest

from embed_jax.files.mistaken import mistaken_file, mistaken_for

TEXT = "The café was closed .\nA bank .\n"


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (gzip.compress(b"text", mtime=0), "gunzip"),
        (bz2.compress(b"text"), "bunzip2"),
        (lzma.compress(b"text"), "unxz"),
        (b"PK\x03\x04rest", "unzip"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\n <!doctype HTML>\n<html>", "web page"),
        (TEXT.encode("utf-16"), "iconv -f utf-16 "),
        (TEXT.encode("utf-16-le"), "iconv -f utf-16le "),
        (TEXT.encode("utf-16-be"), "iconv -f utf-16be "),
        ("Он был .\n河岸 。\n".encode("utf-16-le"), "iconv -f utf-16le "),
        (("河岸 在\n" * 2000).encode("utf-16-be")[:4096], "iconv -f utf-16be "),
        (TEXT.encode("utf-32"), "iconv -f utf-32 "),
    ],
)
def test_the_cause_is_named_with_its_remedy(tmp_path, content, remedy):
    assert remedy in (mistaken_for(content, text=True) or "")
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    assert remedy in (mistaken_file(path, text=True) or "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin1"])
def test_other_text_is_left_to_its_reader(encoding):
    assert mistaken_for(TEXT.encode(encoding), text=True) is None
    assert mistaken_for(b"", text=True) is None
    assert mistaken_for(b"BZhou wrote .\n", text=True) is None
    # Whatever these are, they are no text.
    assert mistaken_for(b"a\0", text=True) is None
    assert mistaken_for(b"a\0\1\0b\0c\0", text=True) is None
    assert mistaken_for("Он".encode("utf-16-le"), text=False) is None


def test_a_file_that_cannot_be_opened_is_nothing_known(tmp_path):
    assert mistaken_file(tmp_path / "gone", text=False) is None
