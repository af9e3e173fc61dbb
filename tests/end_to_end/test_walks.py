# SPDX-License-Identifier: Apache-2.0
"""The walks of docs/walks/, command by command, as a newcomer would take them.

A walk's blocks are run in order, in a folder that is empty but for what the walk says
it starts from: `python walk` in one process, `sh walk` by a shell. What a block of
Python prints is what its last comment says; the lines of the last comment of a shell
block are in what its commands say.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.end_to_end.pages import last_comment, read_blocks

WALKS = sorted(
    path for path in (REPOSITORY / "docs/walks").glob("*.md") if path.stem != "index"
)
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
LIMIT_S = 900
"""Of one walk; it takes a tenth of it on an idle machine."""

# Takes the blocks as they come, and marks where the output of the next one begins.
RUNNER = """
import json, subprocess, sys
names = {"__name__": "__main__"}
for number, (kind, block) in enumerate(json.load(sys.stdin)):
    if kind == "sh":
        subprocess.run(["bash", "-euo", "pipefail", "-c", block],
                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=True)
    else:
        exec(compile(block, f"block {number}", "exec"), names)
    print(end="\\0", flush=True)
"""


def put_novels(folder: Path, data: Path) -> None:
    """Put the beginnings of four novels into novels/."""
    (folder / "novels").mkdir()
    for path in sorted((data / "text_litbank_novels").glob("*.txt"))[:4]:
        beginning = path.read_text(encoding="utf-8")[:40_000]
        (folder / "novels" / path.name).write_text(beginning, encoding="utf-8")


def put_reviews(folder: Path, data: Path) -> None:
    """Put a table with a column of sentences: reviews.parquet."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = data / "pos_ud_english_ewt/dev.text.txt"
    texts = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    table = pyarrow.table(
        {"stars": [n % 5 + 1 for n in range(200)], "review": texts[:200]}
    )
    parquet.write_table(table, folder / "reviews.parquet")


def put_treebank(folder: Path, data: Path) -> None:
    """Put a treebank.conllu, and an entities.conll with tags."""
    blocks = (data / "pos_ud_english_ewt/dev.tsv").read_text("utf-8").split("\n\n")
    sentences = []
    for block in blocks[:150]:
        rows = [line.split("\t") for line in block.splitlines() if "\t" in line]
        sentences.append(
            "".join(
                f"{n}\t{row[0]}\t_\t{row[1]}\t_\t_\t0\troot\t_\t_\n"
                for n, row in enumerate(rows, 1)
            )
        )
    (folder / "treebank.conllu").write_text("\n".join(sentences) + "\n", "utf-8")
    tagged = (data / "ner_wnut17/train.conll").read_text("utf-8").splitlines(True)
    (folder / "entities.conll").write_text("".join(tagged[:6000]), "utf-8")


PUT: dict[str, Callable[[Path, Path], None]] = {
    "linguist": put_treebank,
    "novels": put_novels,
    "pipeline": put_reviews,
}
"""What a walk starts from, by its name; a walk that is not here starts from nothing."""


def test_there_are_four_walks():
    assert [path.stem for path in WALKS] == [
        "linguist",
        "notebook",
        "novels",
        "pipeline",
    ]


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("walk", WALKS, ids=lambda path: path.stem)
def test_a_walk_goes_as_it_is_written(walk, data_dir, trained, tmp_path):
    model = tmp_path / MODEL
    model.parent.mkdir(parents=True)
    model.symlink_to(trained(model.name), target_is_directory=True)
    if put := PUT.get(walk.stem):
        put(tmp_path, data_dir)
    blocks = [
        (block.info.partition(" ")[0], block.text)
        for block in read_blocks(walk)
        if block.info.endswith(" walk")
    ]
    assert blocks
    # As in an environment that is activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(blocks),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    said = run.stdout.split("\0")
    assert run.returncode == 0, said[-1][-3000:] + run.stderr[-3000:]
    for (kind, block), output in zip(blocks, said, strict=False):
        wanted = last_comment(block)
        if kind == "python":
            assert output.strip() == wanted, block
        else:
            for line in filter(None, wanted.splitlines()):
                assert line in output, f"{block}\n{output}"
