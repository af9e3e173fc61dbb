# SPDX-License-Identifier: Apache-2.0
"""What every command refuses to replace, and to write beside another process.

Nothing here is a model: all is refused before one would be read.
"""

import importlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from embed_jax.store import StoreWriter
from tests.claims import claimed_by_another


class Case(NamedTuple):
    """A command and where it writes.

    Attributes:
      module: of the command.
      arguments: given the folder of `inputs` and the output.
      output: the name of its output.
      inside: whether the claim lies in the directory.
    """

    module: str
    arguments: Callable[[Path, Path], list[object]]
    output: str
    inside: bool = False

    def run(self, inputs: Path, output: Path, *more: str) -> int:
        arguments = [str(each) for each in (*self.arguments(inputs, output), *more)]
        return importlib.import_module(self.module).main(arguments)


FILES = {
    "embed": Case(
        "embed_jax.__main__",
        lambda inputs, output: [inputs / "model", inputs / "corpus.txt", output],
        "vectors.h5",
    ),
    "contexts": Case(
        "embed_jax.contexts",
        lambda inputs, output: [
            *(inputs / "model", inputs / "corpus.txt", "--word", "a"),
            *("--output", output),
        ],
        "page.html",
    ),
    "word_types": Case(
        "embed_jax.word_types",
        lambda inputs, output: [inputs / "model", inputs / "corpus.txt", output],
        "types.h5",
    ),
    "word2vec": Case(
        "embed_jax.word_types",
        lambda inputs, output: [
            *(inputs / "model", inputs / "corpus.txt", output.parent / "types.h5"),
            *("--word2vec", output),
        ],
        "types.txt",
    ),
    "score": Case(
        "elmo_jax.score",
        lambda inputs, output: [inputs / "model", inputs / "corpus.txt", output],
        "scores.tsv",
    ),
    "plan": Case(
        "train.plan",
        lambda inputs, output: [
            *("bert_tiny", "--topology", "v5e:2x2", "--output", output),
        ],
        "plan.json",
    ),
}
DIRECTORIES = {
    "export": Case(
        "embed_jax.export.__main__",
        lambda inputs, output: [inputs / "model", output],
        "artefact",
    ),
    "train.export": Case(
        "train.export", lambda inputs, output: [inputs / "run", output], "exported"
    ),
    "finetune": Case(
        "train.finetune",
        lambda inputs, output: [
            *("finetune_ner", "--model", inputs / "model"),
            *("--data", inputs / "tagged", "--output", output),
        ],
        "tuned",
    ),
}
FILLED = {
    "ner": Case(
        "train.ner",
        lambda inputs, output: [
            *("ner_small", "--model", inputs / "model", "--data", inputs / "tagged"),
            *("--output", output.parent, "--name", output.name),
        ],
        "table",
    ),
    "probe": Case(
        "train.probe",
        lambda inputs, output: [
            *("--model", inputs / "model", "--tasks", "sts"),
            *("--sts-data", inputs / "pairs", "--output", output),
        ],
        "table",
    ),
    "prepare": Case(
        "train.prepare",
        lambda inputs, output: ["bert_tiny", f"--data.directory={output}"],
        "data",
        inside=True,
    ),
    "pretrain": Case(
        "train.pretrain",
        lambda inputs, output: [
            *("bert_tiny", "--workdir", output),
            f"--data.directory={inputs / 'none'}",
        ],
        "run",
        inside=True,
    ),
    "train.quickstart": Case(
        "train.quickstart",
        lambda inputs, output: ["--directory", output],
        "quick",
        inside=True,
    ),
    "embed_jax.quickstart": Case(
        "embed_jax.quickstart",
        lambda inputs, output: ["--model", inputs / "model", "--directory", output],
        "quick",
        inside=True,
    ),
}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    for name in ("model", "tagged", "pairs", "run/model"):
        (folder / name).mkdir(parents=True)
    (folder / "run/experiment.json").write_text(json.dumps({"kind": "bert"}))
    (folder / "corpus.txt").write_text("A sentence.\n")
    pairs = "g\tf\ty\t0\t1\ta\tb\n"
    for split in ("dev", "test"):
        (folder / f"pairs/sts-{split}.csv").write_text(pairs)
    return folder


def refused(case: Case, inputs: Path, output: Path, capsys, *more: str) -> str:
    """Run a command that must end with status 2 and one line; return the line."""
    before = snapshot(output.parent)
    assert case.run(inputs, output, *more) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert snapshot(output.parent) == before
    return error


def snapshot(folder: Path) -> dict[str, object]:
    return {
        str(path): path.read_bytes() if path.is_file() else path.stat().st_mode
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_somebody_is_not_replaced(name, inputs, tmp_path, capsys):
    case = FILES[name]
    output = tmp_path / case.output
    output.write_text("precious\n")
    assert "exists; --overwrite" in refused(case, inputs, output, capsys)
    said = refused(case, inputs, output, capsys, "--overwrite")
    assert f"{output} is not a" in said
    assert "move it, or give another output" in said


@pytest.mark.parametrize("name", [name for name in FILES if name != "plan"])
@pytest.mark.parametrize("way", ["itself", "link", "hard link"])
def test_what_is_read_is_not_replaced(name, way, inputs, tmp_path, capsys):
    case = FILES[name]
    output = tmp_path / case.output
    # As if it were ours, so that nothing but the guard of inputs is in the way.
    if case.output.endswith(".h5"):
        with StoreWriter(inputs / "corpus.h5", dim=1):
            pass
        (inputs / "corpus.h5").replace(inputs / "corpus.txt")
    if way == "itself":
        if case.output.endswith(".tsv"):
            pytest.skip("the name of scores is not that of a text")
        output = inputs / "corpus.txt"
    elif way == "link":
        output.symlink_to(inputs / "corpus.txt")
    else:
        os.link(inputs / "corpus.txt", output)
    said = refused(case, inputs, output, capsys, "--overwrite")
    assert "must be different files" in said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_what_is_no_file_is_not_replaced(name, kind, inputs, tmp_path, capsys):
    output = tmp_path / FILES[name].output
    if kind == "directory":
        output.mkdir()
    else:
        os.mkfifo(output)
    said = refused(FILES[name], inputs, output, capsys, "--overwrite")
    assert f"is a {'device or a pipe' if kind == 'pipe' else kind}" in said


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_directory_of_somebody_is_not_replaced(name, inputs, tmp_path, capsys):
    case = DIRECTORIES[name]
    output = tmp_path / case.output
    output.mkdir()
    (output / "thesis.tex").write_text("years")
    assert "exists; --overwrite" in refused(case, inputs, output, capsys)
    if name != "train.export":  # which knows the kind when the weights are read
        said = refused(case, inputs, output, capsys, "--overwrite")
        assert "so it is of another kind" in said
    (output / "thesis.tex").unlink()
    output.rmdir()
    output.write_text("a file")
    refused(case, inputs, output, capsys)


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_directory_that_holds_what_is_read_is_not_replaced(name, inputs, capsys):
    said = refused(DIRECTORIES[name], inputs, inputs, capsys, "--overwrite")
    assert "must be different files" in said


@pytest.mark.parametrize("name", ["ner", "probe"])
@pytest.mark.parametrize("suffix", [".md", ".json", ".png"])
def test_a_result_replaces_results_alone(name, suffix, inputs, tmp_path, capsys):
    output = tmp_path / FILLED[name].output
    own = output.with_name(output.name + suffix)
    own.write_text("# Mine\n")
    said = refused(FILLED[name], inputs, output, capsys)
    assert f"{own} is not the " in said


ALL = FILES | DIRECTORIES | FILLED


@pytest.mark.parametrize("name", [name for name in ALL if name != "embed"])
def test_the_second_of_two_is_told_who_the_first_is(name, inputs, tmp_path, capsys):
    case = ALL[name]
    output = tmp_path / case.output
    with claimed_by_another(output, inside=case.inside):
        said = refused(case, inputs, output, capsys)
    told = rf"{re.escape(str(output))} is being written by process {os.getpid()} on "
    assert re.search(told, said)


@pytest.mark.parametrize("name", [name for name in ALL if name != "pretrain"])
def test_an_address_of_elsewhere_is_refused(
    name, inputs, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = snapshot(tmp_path)
    output = Path("gs://bucket") / ALL[name].output
    assert ALL[name].run(inputs, output) == 2
    error = capsys.readouterr().err
    assert "gs://bucket" in error
    assert "gs:// is not read or written here" in error
    assert error.count("\n") == 1
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ALL)
def test_home_is_found_in_every_output(name, inputs, tmp_path, capsys, monkeypatch):
    """What is refused there is there."""
    case = ALL[name]
    monkeypatch.setenv("HOME", str(tmp_path))
    if name in FILES or name in DIRECTORIES:
        (tmp_path / case.output).write_text("precious")
    else:
        taken = tmp_path / case.output
        taken.with_name(taken.name + ".json").write_text("mine")
        taken.touch()
    assert case.run(inputs, Path("~") / case.output) == 2
    assert str(tmp_path / case.output) in capsys.readouterr().err
