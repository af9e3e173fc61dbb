# SPDX-License-Identifier: Apache-2.0
"""Reading of JSON that may be damaged, or somebody else's."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

import embed_jax
from embed_jax.files.json_file import (
    json_text,
    parse_json,
    parse_object,
    read_json,
)


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


def test_what_is_no_number_is_null_at_any_depth():
    content = {
        "loss": math.nan,
        "rows": [(1.5, -math.inf), np.float64("nan")],
        "array": np.array([math.inf, 2.0]),
        "text": "NaN",
    }
    written = json_text(content, default=np.ndarray.tolist, indent=1)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert json.loads(written, parse_constant=refuse) == {
        "loss": None,
        "rows": [[1.5, None], None],
        "array": [None, 2.0],
        "text": "NaN",
    }


def test_what_earlier_versions_wrote_is_read():
    assert math.isnan(parse_object('{"loss": NaN}', "metrics.jsonl")["loss"])


# Digests of content that earlier versions wrote, and what needs Python alone.
WRITERS_OF_THEIR_OWN = {
    "embed_jax/export/serve.py",
    "embed_jax/files/json_file.py",
    "embed_jax/files/run_directory.py",
    "embed_jax/files/sealed.py",
    "embed_jax/model_identity.py",
    "embed_jax/store/journal.py",
    "train/data/content.py",
}


def test_all_json_is_written_in_one_place():
    root = Path(embed_jax.__file__).parents[1]
    packages = ("bert_jax", "elmo_jax", "embed_jax", "train")
    found = {
        path.relative_to(root).as_posix()
        for package in packages
        for path in (root / package).rglob("*.py")
        if "json.dump" in path.read_text(encoding="utf-8")
    }
    assert found == WRITERS_OF_THEIR_OWN
