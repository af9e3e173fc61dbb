# SPDX-License-Identifier: Apache-2.0
"""A path in a bucket is read, written and listed like one of a disk."""

import dataclasses
import importlib.util
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tensorstore
from jax import tree

import bert_jax
import elmo_jax
import embed_jax
from embed_jax.files.bucket import RUN_PATH, BucketPath, in_bucket, local_copy, run_path
from embed_jax.files.checked_files import check_files, write_checksums
from embed_jax.files.local_path import with_local_paths
from embed_jax.files.output_file import open_output
from tests.train.quick_models import save_bert, save_elmo


@dataclasses.dataclass(frozen=True)
class Given:
    run: Path = dataclasses.field(metadata=RUN_PATH)
    output: Path


def write_from_elsewhere(path: Path, content: bytes) -> None:
    """Write with another client, which keeps no listing of ours up to date."""
    assert isinstance(path, BucketPath)
    spec = {"driver": "gcs", "bucket": path.bucket}
    tensorstore.KvStore.open(spec).result().write(path.key, content).result()


def test_an_address_keeps_both_slashes():
    for given in ("gs://bucket/a/b", Path("gs://bucket/a/b"), "gs:/bucket/a/b/"):
        path = run_path(given)
        assert str(path) == f"{path}" == "gs://bucket/a/b"
        assert run_path(path) == path
        assert path != Path("gs:/bucket/a/b")
        assert in_bucket(path)
        assert str(path.parent / "c") == str(path.with_name("c")) == "gs://bucket/a/c"
        assert path.absolute() == path.resolve() == path.expanduser() == path
    assert run_path("a/gs:/b") == Path("a/gs:/b")
    assert not in_bucket("a/gs:/b")


@pytest.mark.parametrize(
    ("given", "said"),
    [("gs://", "names no bucket"), ("s3://bucket/a", "s3:// is not read or written")],
)
def test_other_addresses_are_refused(given: str, said: str):
    with pytest.raises(ValueError, match=said):
        run_path(given)


def test_a_field_says_that_it_may_be_in_a_bucket():
    given = Given(run=Path("gs://bucket/run"), output=Path("vectors.h5"))
    assert str(with_local_paths(given).run) == "gs://bucket/run"
    with pytest.raises(ValueError, match=r"gs://bucket/v\.h5: no local path"):
        with_local_paths(dataclasses.replace(given, output=Path("gs://bucket/v.h5")))


def test_without_the_client_the_remedy_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'contextual-jax\[gs\]'"):
        run_path("gs://bucket/run")


def test_what_is_written_is_found(in_bucket: Path):
    folder = in_bucket / "folder"
    assert not folder.exists()
    assert not folder.is_dir()
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("ä\n", encoding="utf-8")
    (folder / "deep/b.json").write_bytes(b"{}")
    assert folder.is_dir()
    assert not folder.is_file()
    assert (folder / "a.txt").is_file()
    assert (folder / "a.txt").stat().st_size == 3
    assert (folder / "a.txt").read_text(encoding="utf-8") == "ä\n"
    with (folder / "a.txt").open("rb", buffering=0) as file:
        file.seek(2)
        assert file.read(9) == b"\n"
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "deep"]
    assert list(folder.glob("*/*.json")) == [folder / "deep/b.json"]
    assert sorted(folder.rglob("*")) == [folder / "a.txt", folder / "deep/b.json"]
    (folder / "a.txt").unlink()
    assert not (folder / "a.txt").exists()
    with pytest.raises(FileNotFoundError, match=r"gs://.*folder/a\.txt: no such"):
        (folder / "a.txt").read_bytes()


def test_what_another_process_writes_is_seen_at_once(in_bucket: Path):
    (in_bucket / "1").write_bytes(b"")
    assert [path.name for path in in_bucket.iterdir()] == ["1"]
    write_from_elsewhere(in_bucket / "2", b"x")
    assert (in_bucket / "2").is_file()
    assert sorted(path.name for path in in_bucket.iterdir()) == ["1", "2"]


def test_an_output_appears_whole_or_not_at_all(in_bucket: Path):
    target = in_bucket / "answer.txt"
    with open_output(target) as file:
        file.write(b"42")
        assert not target.exists()
    assert target.read_bytes() == b"42"

    def fail() -> None:
        with open_output(target) as file:
            file.write(b"43")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_bytes() == b"42"


def test_checksums_hold_there(in_bucket: Path):
    (in_bucket / "a").write_bytes(b"as written")
    write_checksums(in_bucket, ["a"])
    assert check_files(in_bucket)
    (in_bucket / "a").write_bytes(b"or damaged")
    with pytest.raises(ValueError, match=r"gs://.*/a is damaged"):
        check_files(in_bucket)


def test_what_buckets_cannot_do_is_said(in_bucket: Path):
    for act in (
        lambda: in_bucket.rename(in_bucket / "b"),
        lambda: in_bucket.touch(),
        lambda: (in_bucket / "a").open("a"),
    ):
        with pytest.raises(OSError, match=r"gs://.*: a bucket cannot"):
            act()


def test_a_bucket_that_cannot_be_reached_is_said_in_a_line(monkeypatch):
    class Refusing:
        def info(self, path: str) -> None:
            raise RuntimeError("Invalid credentials, 401\nand more\nand more")

    monkeypatch.setattr(fsspec, "filesystem", lambda *_, **__: Refusing())
    with pytest.raises(
        OSError, match=r"gs://b/run cannot be .*, 401\).*auth appl"
    ) as e:
        run_path("gs://b/run").is_dir()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("package", [bert_jax, elmo_jax])
def test_a_model_is_loaded_from_there(package, in_bucket: Path, tmp_path: Path):
    save = save_bert if package is bert_jax else save_elmo
    model = save(tmp_path / "model")
    for path in model.iterdir():
        (in_bucket / path.name).write_bytes(path.read_bytes())
    expected, _ = package.load(model)
    for load in (embed_jax.load, package.load):
        params, _ = load(str(in_bucket))
        tree.map(np.testing.assert_array_equal, params, expected)


def test_a_copy_serves_until_the_model_changes(in_bucket: Path):
    (in_bucket / "config.json").write_bytes(b"{}")
    (in_bucket / "1_Pooling/config.json").write_bytes(b"[]")
    (in_bucket / "checkpoints/9/huge").write_bytes(b"not of a model")
    copied = local_copy(in_bucket)
    names = sorted(path.name for path in copied.rglob("*") if path.is_file())
    assert names == ["config.json", "config.json"]
    assert local_copy(in_bucket) == copied
    assert local_copy(in_bucket / "config.json") == copied / "config.json"
    (in_bucket / "config.json").write_bytes(b"{ }")
    assert (local_copy(in_bucket) / "config.json").read_bytes() == b"{ }"


def test_what_is_no_model_is_not_copied(in_bucket: Path):
    with pytest.raises(ValueError, match="no such directory"):
        embed_jax.load(str(in_bucket / "none"))
    (in_bucket / "huge.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="it holds no configuration"):
        embed_jax.load(str(in_bucket))
