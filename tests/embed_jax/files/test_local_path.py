# SPDX-License-Identifier: Apache-2.0
"""Paths as users give them."""

import dataclasses
from pathlib import Path

import pytest

from embed_jax.files.local_path import local_path, with_local_paths
from embed_jax.store import StoreWriter, VectorStore


@dataclasses.dataclass(frozen=True)
class Inner:
    directory: Path
    patterns: tuple[str, ...] = ("~/a",)


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    several: tuple[Path, ...]
    number: float = float("nan")
    none: Path | None = None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_home_is_expanded_at_the_beginning_alone(home: Path):
    assert local_path("~/a") == local_path(Path("~/a")) == home / "a"
    for text in ("a/~", "a~", "/x/~/a"):
        assert local_path(text) == Path(text)


def test_nobodys_home_is_said(home: Path):
    with pytest.raises(
        ValueError, match=r"~no-such-user/a: .*write \./~no-such-user/a"
    ):
        local_path("~no-such-user/a")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("gs://bucket/a", "gs://bucket/a: no local path, and gs:// is not read"),
        # What a command line makes of it.
        (Path("s3://bucket/a"), "s3://bucket/a: no local path"),
        ("hf://owner/name", "give the model's id on the hub"),
        ("file:///tmp/a", "give the path alone"),
        ("https://host/a", "copy it to this machine"),
    ],
)
def test_an_address_is_refused_in_a_line(given: str | Path, said: str):
    with pytest.raises(ValueError, match=said) as refused:
        local_path(given)
    assert "\n" not in str(refused.value)


def test_a_colon_is_no_address():
    for text in ("a:b", "tfds:conll2003", "c:/windows", "./gs:/a", "/x/gs:/a"):
        assert local_path(text) == Path(text)


def test_paths_in_paths_holders_are_found(home: Path):
    given = Outer(Inner(Path("~/a")), (Path("~/b"), Path("c")))
    found = with_local_paths(given)
    assert found.inner == Inner(home / "a")
    assert found.several == (home / "b", Path("c"))
    assert found.none is None
    same = Outer(Inner(Path("a")), ())
    assert with_local_paths(same) is same


def test_the_library_expands_what_it_is_given(home: Path):
    with StoreWriter("~/vectors.h5", dim=2):
        pass
    assert (home / "vectors.h5").is_file()
    with VectorStore("~/vectors.h5") as store:
        assert len(store) == 0


@pytest.mark.parametrize("call", [VectorStore, StoreWriter])
def test_the_library_refuses_an_address(call, home: Path, monkeypatch):
    monkeypatch.chdir(home)
    options = {"dim": 2} if call is StoreWriter else {}
    with pytest.raises(ValueError, match="gs://bucket/a: no local path"):
        call("gs://bucket/a", **options)
    assert not (home / "gs:").exists()
