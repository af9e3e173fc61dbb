# SPDX-License-Identifier: Apache-2.0
"""Every command that fails says so to the shell."""

import ast
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("embed_jax", "bert_jax", "elmo_jax", "train", "configs")

# What each cannot do, and finds out at once.
FAILING = {
    "embed_jax/__main__.py": "./nowhere text.txt out.h5",
    "embed_jax/contexts.py": "./nowhere text.txt --word a",
    "embed_jax/export/__main__.py": "./nowhere out",
    "embed_jax/nearest.py": "nowhere.h5 a",
    "embed_jax/quickstart.py": "--directory text.txt",
    "embed_jax/export/serve.py": "",
    "embed_jax/word_types.py": "./nowhere text.txt out.h5",
    "elmo_jax/score.py": "./nowhere text.txt out.tsv",
    "train/evaluate.py": "nowhere --data nowhere",
    "train/export.py": "nowhere out",
    "train/finetune.py": "finetune_ner --model ./nowhere --data nowhere --output out",
    "train/ner.py": "ner_table7 --model ./nowhere --data nowhere",
    "train/plan.py": "elmo_original --topology v5e",
    "train/prepare.py": "elmo_novels --data.source.patterns nowhere/*.txt",
    "train/pretrain.py": "elmo_novels --workdir text.txt",
    "train/probe.py": "--model ./nowhere --output out --pos-data nowhere",
    "train/quickstart.py": "--directory text.txt",
}


pytestmark = pytest.mark.usefixtures("sigterm_as_before")


def test_every_command_is_tried_here():
    commands = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if '\nif __name__ == "__main__":' in path.read_text("utf-8")
    }
    assert commands == FAILING.keys()


def test_every_command_hears_signals_while_it_imports():
    """The imports take seconds; what sees to it comes before them."""
    first = "embed_jax.commands.starting"
    # `python -m` imports the package of a command before it.
    for command in [*FAILING, "elmo_jax/__init__.py"]:
        if command == "embed_jax/export/serve.py":
            continue  # It knows nothing of this project, and does so itself.
        code = ast.parse((ROOT / command).read_text("utf-8"))
        imports = [node for node in code.body if isinstance(node, ast.Import)]
        assert imports[0].names[0].name == first, command
        assert code.body.index(imports[0]) == 1, command


@pytest.mark.parametrize("command", FAILING)
def test_a_command_that_fails_ends_with_status_2(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "text.txt").write_text("a b\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [command, *FAILING[command].split()])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / command), run_name="__main__")
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    # That would be a mistake in the table above.
    assert "full helptext" not in error
