# SPDX-License-Identifier: Apache-2.0
"""A small corpus and two small experiments, which a few seconds train."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from bert_jax.config import BertConfig
from elmo_jax.config import CharCnnConfig, ElmoConfig
from embed_jax.devices.mesh import data_mesh
from embed_jax.files.run_directory import CHECKPOINTS, read_weights, saved_steps
from train.config import Pretraining
from train.data.sources import TextSource
from train.families.bert.batches import MaskedLmConfig
from train.families.bert.config import MaskedLmPretraining
from train.families.bert.data import PieceData
from train.families.elmo.config import BilmPretraining
from train.families.elmo.data import WordData
from train.loop.log import METRICS
from train.loop.optimizer import Adagrad, BertAdam
from train.prepare import prepare

SUBJECTS = "the cat|a dog|my sister|no walrus|the old bank|every child".split("|")
VERBS = "sees|likes|finds|has never seen|runs to|forgets".split("|")
OBJECTS = "the river|a house|some money|the long road|its tail|bread".split("|")
KINDS = ("elmo", "bert")


def write_corpus(path: Path, num_documents: int = 60, seed: int = 0) -> Path:
    """Write documents of three to eight short sentences, a sentence a line."""
    rng = random.Random(seed)

    def sentence() -> str:
        parts = (rng.choice(SUBJECTS), rng.choice(VERBS), rng.choice(OBJECTS))
        return " ".join(parts).capitalize() + rng.choice([".", " today.", " again !"])

    documents = (
        "\n".join(sentence() for _ in range(rng.randint(3, 8)))
        for _ in range(num_documents)
    )
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path


def make_experiment(kind: str, folder: Path, **changes: Any) -> Pretraining:
    """Return an experiment whose corpus and data lie in `folder`.

    Both have dropout, and the biLM carries its state: all that a run has to remember.
    """
    source = TextSource(patterns=(str(folder / "corpus.txt"),), form="documents")
    shared: dict[str, Any] = {
        "batch_size": 8,
        "num_steps": 12,
        "log_every": 1,
        "eval_every": 6,
        "eval_batches": 2,
        "save_every": 3,
    }
    if kind == "elmo":
        return BilmPretraining(
            model=ElmoConfig(
                char_cnn=CharCnnConfig(
                    embedding_dim=4,
                    filters=((1, 4), (2, 8)),
                    num_highways=1,
                    max_characters=12,
                ),
                cell_dim=16,
                projection_dim=8,
            ),
            data=WordData(
                source=source,
                directory=folder / "words",
                vocab_size=40,
                held_out_every=6,
                num_workers=1,
                max_characters=12,
            ),
            unroll_steps=6,
            num_negatives=12,
            optimizer=Adagrad(),
            **shared | changes,
        )
    return MaskedLmPretraining(
        model=BertConfig(
            num_blocks=1, num_heads=2, layer_dim=16, mlp_dim=32, max_positions=32
        ),
        data=PieceData(
            source=source,
            directory=folder / "pieces",
            vocab_size=90,
            held_out_every=6,
            num_workers=1,
        ),
        objective=MaskedLmConfig(pairs="nsp", length=24, packed=True, max_instances=3),
        optimizer=BertAdam(learning_rate=1e-2, warmup_steps=2),
        **shared | changes,
    )


def prepare_data(folder: Path) -> None:
    """Write the corpus and prepare it for both kinds."""
    write_corpus(folder / "corpus.txt")
    for kind in KINDS:
        prepare(make_experiment(kind, folder).data, lambda line: None)


def losses(run: Path) -> list[dict[str, Any]]:
    """Return every line of figures of a run, in order."""
    text = (run / METRICS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def check_same(run: Path, whole: Path) -> None:
    """Every figure of every step, and the weights at the end, to the last bit."""
    assert losses(run) == losses(whole)
    assert {line["kind"] for line in losses(run)} == {"train", "held_out"}
    assert saved_steps(run)[-1] == saved_steps(whole)[-1]
    weights, _ = read_weights(run)
    expected, _ = read_weights(whole)
    jax.tree.map(np.testing.assert_array_equal, weights, expected)


def check_close(run: Path, whole: Path) -> None:
    """Every loss of every step, but for rounding."""
    ours, theirs = losses(run), losses(whole)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for one, other in zip(ours, theirs, strict=True):
        named = [name for name in other if name.endswith("loss")]
        assert named
        for name in named:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5, err_msg=name)


def copy_until(whole: Path, run: Path, step: int) -> Path:
    """Copy a run as if it had been killed at its checkpoint of a step."""
    shutil.copytree(whole, run)
    for later in saved_steps(run):
        if later > step:
            shutil.rmtree(run / CHECKPOINTS / str(later))
    return run


def num_lines(run: Path) -> int:
    """Count the lines of figures that a run has written."""
    path = run / METRICS
    return path.read_bytes().count(b"\n") if path.exists() else 0


def is_saving(run: Path) -> bool:
    """Tell whether a checkpoint is being written."""
    path = run / CHECKPOINTS
    return path.is_dir() and any(
        entry.name.endswith(".orbax-checkpoint-tmp") for entry in path.iterdir()
    )


def stop_after(num_steps: int) -> Callable[[], bool]:
    """Return what stops a run after so many steps."""
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) == num_steps

    return stop


def one_device() -> Mesh:
    """The mesh of most tests; eight devices of a small machine are slow."""
    return data_mesh(jax.devices()[:1])
