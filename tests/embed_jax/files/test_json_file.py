# SPDX-License-Identifier: Apache-2.0
"""Reading of JSON that may be damaged, or somebody else's."""

import gzip

import pytest

from embed_jax.files.json_file import parse_json, parse_object, read_json


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "options.json"
    path.write_bytes(b'\xef\xbb\xbf{"lstm": 1}')
    assert read_json(path) == {"lstm": 1}
    assert parse_object('\ufeff{"lstm": 1}', "text") == {"lstm": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b'{"vocab_size": ' + b"9" * 5_000 + b"}", "not JSON: Exceeds the limit"),
        (b"\xff{}", "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b"", "not JSON"),
        (gzip.compress(b"{}", mtime=0), "gzip: decompress it"),
        ('{"a": 1, "b": 2}'.encode("utf-16"), "UTF-16: convert it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<!DOCTYPE html><html>404", "a web page"),
    ],
)
def test_what_is_not_json_is_refused_by_name_and_cause(tmp_path, content, said):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"config.json.*{said}") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_another_kind_of_json_is_no_object(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"config\.json holds no JSON object"):
        read_json(path)
    assert parse_json("[1, 2]", "text") == [1, 2]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.json: no such file"):
        read_json(tmp_path / "gone.json")
