# SPDX-License-Identifier: Apache-2.0
"""A run of `train.probe` in this process, and the small data that it can read."""

import contextlib
import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.figure
import pytest

from train import probe
from train.families.bert.family import Bert
from train.tasks.results import Row, read_rows

Tagged = Iterable[Sequence[tuple[str, str, str]]]


class Run(NamedTuple):
    """One run of the command.

    Attributes:
      status: that it exited with.
      error: what it wrote on standard error.
      files: that it wrote, but for those that a link leads to.
      tables: the rows of each table, by its name.
      facts: what each table says beside its rows.
    """

    status: int
    error: str
    files: list[str]
    tables: Mapping[str, Mapping[str, Row]]
    facts: Mapping[str, Mapping[str, Any]]


def run(arguments: Sequence[object], folder: Path) -> Run:
    """Run the command in a folder; nothing is drawn, and sentences have one pooling."""
    printed, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(Bert, "poolings", {"mean": {"pool": "mean"}})
        patch.setattr(
            matplotlib.figure.Figure,
            "savefig",
            lambda figure, file, **options: file.write(b"a picture"),
        )
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(error):
            status = probe.main([str(argument) for argument in arguments])
    files = sorted(
        str(Path(parent, name).relative_to(folder))
        for parent, _, names in os.walk(folder)
        for name in names
    )
    written = [folder / name for name in files if name.endswith(".json")]
    return Run(
        status,
        error.getvalue(),
        files,
        {path.stem: {row.name: row for row in read_rows(path)} for path in written},
        {path.stem: json.loads(path.read_text())["facts"] for path in written},
    )


def write_pos(folder: Path, splits: Mapping[str, Tagged]) -> Path:
    """Write words with both their tags."""
    folder.mkdir()
    for name, sentences in splits.items():
        lines = ("".join("\t".join(row) + "\n" for row in rows) for rows in sentences)
        (folder / f"{name}.tsv").write_text("\n".join(lines))
    return folder


def write_senses(
    path: Path, documents: Iterable[Iterable[Sequence[tuple[str, str]]]]
) -> Path:
    """Write documents of sentences of words, each with a sense, or none where empty."""
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt") as file:
        for number, sentences in enumerate(documents):
            for place, sentence in enumerate(sentences):
                record = {
                    "id": f"d{number}.s{place}",
                    "tokens": [word for word, _ in sentence],
                    "pos": ["NOUN"] * len(sentence),
                    "senses": [
                        [index, word, sense]
                        for index, (word, sense) in enumerate(sentence)
                        if sense
                    ],
                }
                file.write(json.dumps(record) + "\n")
    return path


def write_pairs(
    folder: Path, splits: Mapping[str, Iterable[tuple[float, str, str]]]
) -> Path:
    """Write pairs of sentences with how similar they are."""
    folder.mkdir()
    for name, pairs in splits.items():
        lines = (f"g\tf\ty\t0\t{much}\t{one}\t{two}\n" for much, one, two in pairs)
        (folder / f"sts-{name}.csv").write_text("".join(lines))
    return folder
