# SPDX-License-Identifier: Apache-2.0
"""The pages say what happens: their code is run, their commands are parsed.

A block of README.md, of a page of docs/, or of another page that is read first is one
of

- `python run`: run, those of a page one after the other in one process; what a block
  prints is what its last comment says;
- `sh main`, `sh serve`, `sh test` of README.md: run by .ci/run;
- `sh walk`, `python walk` of docs/walks/: run by test_walks.py;
- `sh`: each command's options are parsed by the command itself, as are those of
  commands in the middle of a sentence;
- `toml`, `json`: parsed;
- `{toctree}`, `{eval-rst}`: run by Sphinx, in .ci/run.
"""

import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import tyro

from embed_jax.layers.layer_spec import parse_layer_spec
from tests.conftest import REPOSITORY
from tests.end_to_end.pages import (
    Block,
    inline_commands,
    last_comment,
    name_of,
    read_blocks,
    split_commands,
)
from train.config import config_names

PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").rglob("*.md"),
        REPOSITORY / "benchmarks/RESULTS.md",
        REPOSITORY / "examples/README.md",
        REPOSITORY / "tests/README.md",
    ]
)
README = REPOSITORY / "README.md"
RUN_BY_CI = ("main", "serve", "test")
OF_SPHINX = ("{toctree}", "{eval-rst}")
OURS = ("bert_jax", "benchmarks", "elmo_jax", "embed_jax", "tests", "train")
# An id of the hub, which is a folder where pages are run.
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
# Without a parser of options; the words after them are names of configurations.
TAKES_CONFIGS = {"benchmarks.fsdp_memory"}
# Written by a command of ours, from a file that is here.
WRITTEN = {"ARTEFACT/serve.py": "embed_jax/export/serve.py"}
# Tools of others, whose options are not checked.
TOOLS = {
    ".", "basedpyright", "cat", "cd", "echo", "export", "git", "head", "lint-imports",
    "pre-commit", "ruff", "sphinx-build", "tensorboard", "test", "tfds",
}  # fmt: skip

# Runs blocks that share their names, and marks where the next one's output begins.
RUNNER = """
import json, sys
names = {"__name__": "__main__"}
for number, block in enumerate(json.load(sys.stdin)):
    exec(compile(block, f"block {number}", "exec"), names)
    print(end="\\0", flush=True)
"""


def programs_of(page: Path) -> list[str]:
    return [block.text for block in read_blocks(page) if block.info == "python run"]


def with_programs() -> list:
    pages = [page for page in PAGES if programs_of(page)]
    return [
        pytest.param(
            page,
            id=name_of(page),
            marks=pytest.mark.weights if MODEL in "".join(programs_of(page)) else (),
        )
        for page in pages
    ]


@pytest.mark.parametrize("page", with_programs())
def test_code_prints_what_its_last_comment_says(page, request, tmp_path):
    programs = programs_of(page)
    if MODEL in "".join(programs):
        model = tmp_path / MODEL
        model.parent.mkdir(parents=True)
        weights = request.getfixturevalue("trained")(model.name)
        model.symlink_to(weights, target_is_directory=True)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        input=json.dumps(programs),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    printed = [output.strip() for output in run.stdout.split("\0")[:-1]]
    assert printed == [last_comment(program) for program in programs]


def test_readme_has_a_program_and_what_ci_runs():
    assert programs_of(README)
    named = [block for block in read_blocks(README) if block.info.startswith("sh ")]
    assert sorted(block.info for block in named) == [f"sh {n}" for n in RUN_BY_CI]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_kind_that_is_checked(page):
    for block in read_blocks(page):
        where = f"{name_of(page)}:{block.line}"
        if block.info == "toml":
            tomllib.loads(block.text)
        elif block.info == "json":
            json.loads(block.text)
        elif block.info in ("sh walk", "python walk"):
            assert page.parent == REPOSITORY / "docs/walks", where
        elif block.info == "python":  # run where what it is for is tested
            compile(block.text, where, "exec")
        elif block.info.startswith("sh "):
            assert page == README, where
        else:
            assert block.info in ("sh", "python run", *OF_SPHINX), where


class Parsed(BaseException):
    """Raised in place of the work that a command would do."""


def parse(module: str, arguments: Sequence[str], monkeypatch) -> None:
    """Have a command parse its options, and go no further."""
    if module in TAKES_CONFIGS:
        assert set(arguments) <= set(config_names())
        return
    if arguments and arguments[0].endswith("mine.py"):  # nor is it there
        arguments = ["bert_tiny", *list(arguments)[1:]]
    elif module == "train.pretrain" and arguments[:1] == ["--workdir"]:
        arguments = ["bert_tiny", *arguments]  # as the run has recorded
    cli = tyro.cli

    def parse_only(*args, **kwargs):
        cli(*args, **kwargs)
        raise Parsed

    found = importlib.import_module(module)
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{module}.__main__")
    monkeypatch.setattr(tyro, "cli", parse_only)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    wanted = (SystemExit, Parsed) if "--help" in arguments else Parsed
    with pytest.raises(wanted) as raised:
        found.main()
    if isinstance(raised.value, SystemExit):
        assert not raised.value.code
    for option, value in itertools.pairwise(arguments):
        if option == "--layers":
            parse_layer_spec(value)


def check(command: list[str], monkeypatch) -> None:
    """Check a command: its options, its file, or that it is a tool that is known."""
    program, *arguments = command
    program = program.removeprefix(".venv/bin/")
    match program, *arguments:
        case "srun", *rest:
            check(rest, monkeypatch)
        case (("python" | "python3"), "-m", "pytest", *rest):
            paths = [word for word in rest if word.startswith("tests/")]
            assert all((REPOSITORY / path).exists() for path in paths)
        case (("python" | "python3"), "-m", "venv", _):
            pass
        case (("python" | "python3"), "-m", str(module), *rest):
            assert module.partition(".")[0] in OURS
            parse(module, rest, monkeypatch)
        case "contextual-train", str(command), *rest:
            parse(f"train.{command}", rest, monkeypatch)
        case (("python" | "python3"), str(file), *_):
            assert (REPOSITORY / WRITTEN.get(file, file)).is_file()
        case "pip", "install", *rest:
            project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
            for extras in re.findall(r"\.\[(.+?)\]", " ".join(rest)):
                known = project["project"]["optional-dependencies"]
                assert set(extras.split(",")) <= set(known)
        case "just", recipe:
            justfile = (REPOSITORY / "justfile").read_text("utf-8")
            assert re.search(rf"^{recipe}\b.*:", justfile, re.MULTILINE)
        case _:
            assert program in TOOLS or (REPOSITORY / program).is_file()


def shell_blocks(page: Path) -> list[Block]:
    return [b for b in read_blocks(page) if b.info.partition(" ")[0] == "sh"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_such_as_can_be_given(page, monkeypatch, capsys):
    for block in shell_blocks(page):
        for command in split_commands(block.text):
            with monkeypatch.context() as patch:
                try:
                    check(command, patch)
                except BaseException as error:
                    error.add_note(f"{name_of(page)}:{block.line}: {command}")
                    error.add_note(capsys.readouterr().err)
                    raise


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_sentences_are_such_as_can_be_given(page, monkeypatch, capsys):
    for command in inline_commands(page):
        if len(command) == 3 and command[2].partition(".")[0] in OURS:
            # It is only named.
            assert importlib.util.find_spec(command[2])
            continue
        with monkeypatch.context() as patch:
            try:
                check(command, patch)
            except BaseException as error:
                error.add_note(f"{name_of(page)}: {command}")
                error.add_note(capsys.readouterr().err)
                raise


@pytest.mark.parametrize(
    "command",
    [
        "python -m embed_jax MODEL corpus.txt vectors.h5 --layer last",
        "python -m embed_jax MODEL corpus.txt vectors.h5 --layers lats",
        "python -m train.pretrain bert_tinny --workdir RUN",
        "python -m train.pretrain bert_tiny --workdir RUN --batch-size many",
        "python -m train.evaluate RUN",
        "python -m train.no_such_command",
        "python examples/no_such_example.py",
        "pip install -e '.[no_such_extra]'",
        "just no_such_recipe",
        "no_such_tool",
    ],
)
def test_a_wrong_command_is_noticed(command, monkeypatch, capsys):
    (words,) = split_commands(command)
    with pytest.raises((AssertionError, ImportError, ValueError, SystemExit,
                        pytest.fail.Exception)):  # fmt: skip
        check(words, monkeypatch)


def test_files_that_pages_name_exist():
    folders = [path.name for path in REPOSITORY.iterdir() if path.is_dir()]
    ours = re.compile(rf"`((?:{'|'.join(folders)})/[\w/.-]+\.(?:py|md|ipynb|json))`")
    for page in PAGES:
        for name in ours.findall(page.read_text(encoding="utf-8")):
            if "yours" in name:
                continue
            # Or beside the page: tests/README.md leaves its own folder out.
            places = (REPOSITORY / name, page.parent / name)
            assert any(map(Path.exists, places)), f"{name_of(page)}: {name}"


def test_files_that_the_reading_order_names_exist():
    order = (REPOSITORY / "docs/reading-the-source.md").read_text(encoding="utf-8")
    names = re.findall(r"`([\w/.-]+\.(?:py|md))`", order)
    assert len(names) > 30
    folder = ""
    for name in names:
        path = REPOSITORY / name
        if not path.exists():
            # Without a folder it is in that of the one before.
            path = REPOSITORY / folder / name
        assert path.exists(), name
        folder = str(path.parent.relative_to(REPOSITORY))


def links_of(page: Path) -> set[Path]:
    """Return the files that a page links to."""
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", text)
    for block in read_blocks(page):
        if block.info == "{toctree}":
            lines = block.text.splitlines()
            targets += [f"{line}.md" for line in lines if line and line[0] != ":"]
    return {
        (page.parent / target).resolve() for target in targets if "://" not in target
    }


def test_links_lead_somewhere_and_to_every_page():
    reached: set[Path] = set()
    ahead = {README, REPOSITORY / "docs/index.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        for target in links_of(page):
            assert target.exists(), f"{name_of(page)}: {target}"
            if target.suffix == ".md" and target not in reached:
                ahead.add(target)
    # Sphinx links to no page outside docs/, so those of other folders are only named.
    named = {REPOSITORY / "benchmarks/RESULTS.md", REPOSITORY / "tests/README.md"}
    assert set(PAGES) - named <= reached
