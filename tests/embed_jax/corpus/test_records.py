# SPDX-License-Identifier: Apache-2.0
"""Texts of one field of JSON lines and Parquet, compressed or not, and their faults."""

import gzip
import json
import sys

import pyarrow as pa
import pyarrow.parquet
import pytest

from embed_jax.corpus.lines import read_lines
from embed_jax.corpus.records import holds_records, read_texts

TEXTS = ["A bank .", "", "Größe\nund „Zeichen“", "x" * 5000]


def compressed(content, suffix):
    if suffix == ".gz":
        return gzip.compress(content)
    return pa.compress(content, codec="zstd", asbytes=True) if suffix else content


def write(path, texts, *, field="text"):
    """Write records of two fields in the format of the path's endings."""
    suffix = path.suffix if path.suffix in (".gz", ".zst") else ""
    rows = [{"id": number, field: text} for number, text in enumerate(texts)]
    if ".jsonl" in path.name:
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        sink = pa.BufferOutputStream()
        pa.parquet.write_table(pa.Table.from_pylist(rows), sink, row_group_size=3)
        content = sink.getvalue().to_pybytes()
    path.write_bytes(compressed(content, suffix))
    return path


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_field_is_read_from_either_format_compressed_or_not(tmp_path, kind, suffix):
    path = write(tmp_path / f"a{kind}{suffix}", TEXTS, field="body")
    assert holds_records(path)
    assert list(read_texts(path, "body")) == TEXTS


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_a_field_that_is_missing_is_answered_with_those_there_are(tmp_path, kind):
    path = write(tmp_path / f"a{kind}", TEXTS, field="body")
    with pytest.raises(ValueError, match=r"no field 'boddy'; .*\"body\".* id, body"):
        list(read_texts(path, "boddy"))


@pytest.mark.parametrize(("kind", "row"), [(".jsonl", "line"), (".parquet", "row")])
@pytest.mark.parametrize(
    ("value", "message"), [(None, "is null, not text"), ("a\0b", "NUL at character 2")]
)
def test_a_row_that_is_no_text_is_named_by_number(tmp_path, kind, row, value, message):
    path = write(tmp_path / f"a{kind}", ["fine", "fine", value])
    with pytest.raises(ValueError, match=rf"{row} 3: field 'text' (is|has a) ?.*") as e:
        list(read_texts(path, "text"))
    assert message in str(e.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": 5}', "line 1: field 'text' is a number, not text"),
        ('{"text": ["a"]}', "is an array, not text"),
        ('["a"]', "line 1 is an array, not an object"),
        ("A sentence .", "line 1 is not JSON"),
        ('{"text": "\\ud800"}', "half a character .* at character 1"),
    ],
)
def test_a_line_that_is_no_record_is_refused(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        list(read_texts(path, "text"))


def test_columns_of_text_are_read_whatever_arrow_calls_them_and_others_refused(
    tmp_path,
):
    path = tmp_path / "a.parquet"
    columns = {
        "large": pa.array(["a", "b"], pa.large_string()),
        "coded": pa.array(["a", "b"]).dictionary_encode(),
        "number": pa.array([1, 2]),
    }
    pa.parquet.write_table(pa.table(columns), path)
    assert list(read_texts(path, "large")) == ["a", "b"]
    assert list(read_texts(path, "coded")) == ["a", "b"]
    with pytest.raises(ValueError, match="field 'number' is int64, not text"):
        list(read_texts(path, "number"))


@pytest.mark.parametrize("name", ["a.parquet", "a.parquet.gz", "a.jsonl.zst"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, name):
    path = write(tmp_path / name, TEXTS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"a\.\w+.*cut short"):
        list(read_texts(path, "text"))


def test_a_text_file_may_be_zstd_of_several_frames(tmp_path):
    path = tmp_path / "a.txt.zst"
    path.write_bytes(compressed(b"one\n", ".zst") + compressed(b"two\n", ".zst"))
    assert list(read_lines(path)) == ["one", "two"]
    path.write_bytes(b"one\ntwo\n")
    with pytest.raises(ValueError, match=r"not zstd: if it is text, leave \.zst out"):
        list(read_lines(path))


def test_without_pyarrow_the_remedy_is_named(tmp_path, monkeypatch):
    paths = [write(tmp_path / name, TEXTS) for name in ("a.parquet", "a.jsonl.zst")]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for path in paths:
        with pytest.raises(ValueError, match="pip install pyarrow"):
            list(read_texts(path, "text"))
