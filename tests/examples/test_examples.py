# SPDX-License-Identifier: Apache-2.0
"""The scripts of examples/ run, are short, and use public names alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.test_public_doors import private_names

EXAMPLES = {path.stem: path for path in (REPOSITORY / "examples").glob("*.py")}
ARGUMENTS = {
    "many_devices": ["4"],
    "pretrain_own_text": [str(REPOSITORY / "docs/*.md"), "200"],
}
# What the last line begins with, where all has gone well.
LAST_LINES = {
    "embed_file": "sentence 1: The bank was closed",
    "finetune_in_your_loop": "accuracy on the texts it learnt from: 1.00",
    "grain_workers": "accuracy on the last batch: 1.00",
    "layer_mix": "accuracy on new sentences: 1.00",
    "many_devices": "(16, 32) on 4 devices",
    "pretrain_own_text": "sentences embedded by the exported model: (2, 32)",
    "sentence_similarity": "    ",
    "word_neighbours": "    ",
}
# They start processes of their own.
SLOW = {"grain_workers", "pretrain_own_text"}


def run(name: str, folder: Path, *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES[name]), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "leaked" not in finished.stderr
    return finished.stdout


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in sorted(EXAMPLES)
    ],
)
def test_an_example_runs_without_a_network(name, tmp_path):
    printed = run(name, tmp_path, *ARGUMENTS.get(name, ()))
    assert printed.splitlines()[-1].startswith(LAST_LINES[name])


@pytest.mark.weights
@pytest.mark.parametrize("name", ["word_neighbours", "sentence_similarity"])
def test_an_example_takes_a_model(name, trained, tmp_path):
    printed = run(name, tmp_path, str(trained("all-MiniLM-L6-v2")))
    if name == "sentence_similarity":
        question, best = printed.splitlines()[:2]
        assert question == "How do I get a new password?"
        assert best.endswith("You can change your password in the settings.")


@pytest.mark.parametrize("path", EXAMPLES.values(), ids=list(EXAMPLES))
def test_an_example_is_short_and_uses_public_names_alone(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) < 100
    assert list(private_names(source)) == []


def test_the_page_of_examples_lists_them_all():
    page = (REPOSITORY / "examples/README.md").read_text(encoding="utf-8")
    assert len(EXAMPLES) >= 6
    for path in EXAMPLES.values():
        assert f"]({path.name})" in page
