# SPDX-License-Identifier: Apache-2.0
"""Configurations in files of the user's own, wherever they lie."""

import dataclasses
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.end_to_end.pages import read_blocks
from train.config import NoOptions, experiment_named, read_command
from train.loop.optimizer import Lamb
from train.own_file import load_file
from train.prepare import main

OWN = '''"""My own: two cores and an hour."""
import dataclasses
from configs import {base}
from train.data.sources import TextSource
from train.families.{kind}.config import {experiment} as Base

@dataclasses.dataclass(frozen=True, kw_only=True)
class Mine(Base):
    """With a field more.

    Attributes:
      mood: of the day.
    """

    mood: "str | None" = None

def config():
    theirs = {base}.config()
    fields = {{field.name: getattr(theirs, field.name)
              for field in dataclasses.fields(theirs)}}
    source = TextSource(patterns=("mine.txt",), form="prose")
    fields["data"] = dataclasses.replace(theirs.data, source=source)
    return Mine(**fields | {{"num_steps": 700_007}})
'''
KINDS = {"elmo_tiny": "BilmPretraining", "bert_small": "MaskedLmPretraining"}


def read(*arguments: str):
    return read_command(list(arguments), "prog", NoOptions, "What it does.")[1]


@pytest.mark.parametrize(("base", "experiment"), KINDS.items())
def test_a_file_anywhere_is_a_configuration(
    tmp_path, monkeypatch, capsys, base, experiment
):
    path = tmp_path / "folder" / "train.py"  # a name of ours does no harm
    path.parent.mkdir()
    kind = base.partition("_")[0]
    path.write_text(OWN.format(base=base, kind=kind, experiment=experiment))
    monkeypatch.chdir(tmp_path)
    mine = read("folder/train.py", "--mood", "fine", "--seed", "3")
    assert (mine.num_steps, mine.seed, mine.mood) == (700_007, 3, "fine")
    assert mine.model == experiment_named(base).model
    assert load_file("folder/train.py") is load_file(str(path))
    # And it takes own text as one of ours does.
    other = read(str(path), "--text", "a/*.txt")
    assert other.data.directory.name.startswith("train-a-")
    with pytest.raises(SystemExit, match="0"):
        read(str(path), "--help")
    text = capsys.readouterr().out
    assert "My own: two cores" in text
    assert "--mood" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "mine.py: no such file; it would be a Python file of your own"),
        ("a = 1", r"mine.py has no function config\(\)"),
        ("a = (", "mine.py, line 1: "),
        ("def config(): return 3", r"config\(\) returns a int, and .* a Pretraining"),
    ],
)
@pytest.mark.usefixtures("sigterm_as_before")
def test_a_file_that_is_none_is_told_of(
    tmp_path, monkeypatch, capsys, content, message
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("mine.py").write_text(content)
    assert main(["mine.py"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.prepare: ")
    assert error.count("\n") == 1
    with pytest.raises(ValueError, match=message):
        read("mine.py")


def test_an_error_in_a_file_is_its_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def config(): pass\nimport no_such_module_at_all\n")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
            read(str(path))
    path.write_text("from configs.bert_tiny import config\n")
    assert dataclasses.asdict(read(str(path))) == dataclasses.asdict(read("bert_tiny"))


def test_a_file_without_the_function_is_told_of_whatever_it_was_run_for(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def config():\n    return 1\n", encoding="utf-8")
    load_file(str(path))
    with pytest.raises(ValueError, match=r"mine.py has no function track\(\)"):
        load_file(str(path), "track")


def test_the_one_of_the_page_is_a_configuration(tmp_path):
    page = REPOSITORY / "docs" / "pretraining.md"
    (block,) = [b.text for b in read_blocks(page) if "def config" in b.text]
    (tmp_path / "mine.py").write_text(block, encoding="utf-8")
    experiment = read(str(tmp_path / "mine.py"))
    assert (type(experiment.optimizer), experiment.num_steps) == (Lamb, 5000)
