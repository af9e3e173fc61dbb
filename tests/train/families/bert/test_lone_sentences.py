# SPDX-License-Identifier: Apache-2.0
"""A text in which nothing follows anything has no pairs to learn from."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embed_jax.files.run_directory import EXPERIMENT
from tests.train.experiments import losses, make_experiment, one_device, stop_after
from tests.train.stores import piece_store
from train.config import Pretraining
from train.data.sources import TextSource
from train.families.bert import setup
from train.families.bert.instances import has_pairs
from train.prepare import prepare
from train.pretrain import pretrain


@pytest.fixture(scope="module")
def lines(folder, tmp_path_factory) -> Path:
    """The corpus once more, each of its lines a document."""
    path = tmp_path_factory.mktemp("lines")
    prepare(of_lines(folder, path, "nsp").data, lambda line: None)
    return path


def of_lines(folder: Path, path: Path, pairs: str) -> Any:
    experiment: Any = make_experiment("bert", folder, num_steps=4, eval_every=2)
    source = TextSource(patterns=(str(folder / "corpus.txt"),), form="sentences")
    data = dataclasses.replace(
        experiment.data, source=source, directory=path / "pieces"
    )
    objective = dataclasses.replace(experiment.objective, pairs=pairs)
    return dataclasses.replace(experiment, data=data, objective=objective, save_every=2)


@pytest.mark.parametrize(
    ("documents", "length", "expected"),
    [
        ([[4], [5], [6]], 24, False),
        ([[4], [5, 6], [6]], 24, True),
        ([[20, 3], [30, 30]], 24, True),
        # Each but the last fills a row, and an instance of its own.
        ([[21, 3], [30, 30, 2]], 24, False),
        ([[21, 3], [30, 30, 2]], 25, True),
    ],
)
def test_a_pair_takes_a_sentence_that_leaves_room_for_its_next(
    documents, length, expected
):
    store = piece_store([[[5] * n for n in document] for document in documents])
    assert has_pairs(store, length) == expected


@pytest.mark.parametrize(
    ("pairs", "effect"),
    [("nsp", "passage would be a random one"), ("sop", "no pair would have a label")],
)
def test_a_run_on_lines_for_documents_does_not_begin(
    folder, lines, tmp_path, pairs, effect
):
    run = tmp_path / "run"
    refusal = f"sentences makes a document of each line.*{effect}: give objective.pairs"
    with pytest.raises(ValueError, match=refusal):
        begin(of_lines(folder, lines, pairs), run)
    assert not (run / EXPERIMENT).exists()
    begin(of_lines(folder, lines, "none"), run)


def test_an_older_run_goes_on_and_has_no_figures_of_what_there_is_not(
    folder, lines, tmp_path, monkeypatch
):
    experiment, run = of_lines(folder, lines, "sop"), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(setup, "has_pairs", lambda *_: True)
        pretrain(experiment, run, mesh=one_device(), stop=stop_after(2))
    begin(experiment, run)
    written = losses(run)
    assert [line["step"] for line in written if line["kind"] == "train"] == [1, 2, 3, 4]
    assert {line["kind"] for line in written} == {"train", "held_out"}
    for line in written:
        assert not any("pair" in name for name in line)
        assert all(np.isfinite(v) for v in line.values() if not isinstance(v, str))
    held_out = [line for line in written if line["kind"] == "held_out"]
    assert all(line["loss"] == line["masked_loss"] for line in held_out)


def begin(experiment: Pretraining, run: Path) -> None:
    pretrain(experiment, run, mesh=one_device())
