# SPDX-License-Identifier: Apache-2.0
"""The commands of training from any directory, whatever lies there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import contextual_train
from train.called import AS_MODULES, call_by, called

REPOSITORY = Path(contextual_train.__file__).parent
OWN = """
import dataclasses
from configs import elmo_tiny
from train.data.sources import TextSource

def config():
    tiny = elmo_tiny.config()
    source = TextSource(patterns=("mine.txt",))
    data = dataclasses.replace(tiny.data, source=source, num_workers=2)
    return dataclasses.replace(tiny, data=data)
"""


def test_a_train_py_in_the_directory_is_not_run(tmp_path):
    for name in ("train", "configs", "tests"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    (tmp_path / "mine.txt").write_text("The cat sees the river.\n" * 50)
    (tmp_path / "own.py").write_text(OWN)
    # As badly as can be: the current directory is searched for modules.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([".", str(tmp_path)])}
    ended = subprocess.run(
        [sys.executable, REPOSITORY / "contextual_train.py", "prepare", "own.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    # Its two processes found the checkout's modules too.
    assert "now: contextual-train pretrain own.py --workdir RUN" in ended.stdout
    assert (tmp_path / "data" / "docstrings_words" / "prepared.json").is_file()


@pytest.mark.parametrize(
    "command", [["-m", "train.pretrain"], ["contextual_train.py", "pretrain"]]
)
def test_without_the_extra_it_says_in_a_line_what_to_install(command):
    # Without `site` nothing is installed.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ended = subprocess.run(
        [sys.executable, "-S", *command, "bert_tiny", "--workdir", "run"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert re.fullmatch(
        r"\S+: tensorflow_datasets, .*: not installed; .*\[train\]'.*\n", ended.stderr
    )


def test_it_is_installed_as_a_command():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["scripts"] == {
        "contextual-train": "contextual_train:main"
    }
    assert project["tool"]["setuptools"]["py-modules"] == ["contextual_train"]


def test_every_command_of_train_is_one_of_its_commands():
    modules = [
        path.stem
        for path in (REPOSITORY / "train").glob("*.py")
        if "\ndef main(" in path.read_text(encoding="utf-8")
    ]
    assert sorted(modules) == sorted(contextual_train.COMMANDS)


@pytest.fixture
def as_before(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    call_by(AS_MODULES)


@pytest.mark.usefixtures("as_before")
def test_it_lists_its_commands_and_gives_them_their_name(capsys, monkeypatch, tmp_path):
    assert contextual_train.main(["--help"]) == 0
    assert "  pretrain  " in capsys.readouterr().out
    assert contextual_train.main([]) == 2
    assert contextual_train.main(["pretrian"]) == 2
    assert "did you mean 'pretrain'?" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        contextual_train.main(["export", "--help"])
    assert "usage: contextual-train export" in capsys.readouterr().out
    assert called("plan") == "contextual-train plan"
    # As it is where there is no checkout around it.
    monkeypatch.setattr(contextual_train, "__file__", str(tmp_path / "it.py"))
    assert contextual_train.main(["export", "--help"]) == 2
    assert "training runs from a checkout" in capsys.readouterr().err
