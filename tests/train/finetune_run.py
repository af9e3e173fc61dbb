# SPDX-License-Identifier: Apache-2.0
"""A run of `train.finetune` in this process, and all that can be seen of it.

Two places are taken in between: where the command makes a classifier, so that one that
compiles at once can stand for it, and where it has the classifier trained, so that a
real one can be looked at without that.
"""

import contextlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from train import finetune
from train.fit import Fitted
from train.tasks.finetune.classified_rows import ClassifiedRow
from train.tasks.finetune.classifier import Classifier
from train.tasks.finetune.finetuning import Finetuned

WORDS = "the a bank river was saw Ann Bob York good bad".split()
TAGGED = {
    "train": ["Ann/B-PER saw/O Bob/B-PER", "Bob/B-PER was/O the/O"] * 4
    + ["the/O Ann/B-PER Bob/B-PER", "a/O bank/O Ann/B-PER"] * 4,
    # Of Bob the training says something else.
    "dev": ["Ann/B-PER saw/O Bob/O", "the/O Bob/O was/O", "Bob/O Bob/O Bob/O"]
    + ["Ann/B-PER was/O a/O"] * 3,
}
TEXTS = {
    "train": ["good,good bank", "bad,bad bank", "good,the good river"] * 4
    + ["bad,a bad", "good,river"] * 4,
    # Likewise of the river.
    "dev": "bad,bad|bad,a bad|bad,river|bad,the river|bad,river a|good,good".split("|"),
}


def write_data(folder: Path, limit: int | None = None) -> None:
    """Write tagged sentences and labelled texts, each under names of their own."""
    folder.mkdir()
    for split in ("train", "dev", "test"):
        held = "train" if split == "train" else "dev"
        columns = (
            "\n".join(sentence.split()).replace("/", " ") + "\n"
            for sentence in TAGGED[held][:limit]
        )
        (folder / f"{split}.conll").write_text("\n".join(columns))
        texts = TEXTS[held][:limit]
        if split == "test":
            texts = [*texts[1:], "good,good the bank was a river"]
        (folder / f"{split}.csv").write_text("\n".join(texts))


class Run(NamedTuple):
    """One run of the command.

    Attributes:
      status: that it exited with.
      error: the last line of standard error.
      files: that it wrote.
      record: of results.json.
      classifier: that was trained, or was to be.
      splits: of the examples.
    """

    status: int
    error: str
    files: list[str]
    record: dict[str, Any]
    classifier: Classifier | None
    splits: dict[str, Any]


def train_words(arguments: Sequence[object], folder: Path) -> Run:
    """Run the command in a folder, with a `WordTable` in the model's place."""
    return _run(
        arguments,
        folder,
        make_classifier=lambda config, model, labels: WordTable(config.task, labels),
    )


def make_only(arguments: Sequence[object], folder: Path) -> Run:
    """Run the command in a folder; its own classifier is saved as it is made."""
    return _run(arguments, folder, finetune=_untrained)


def record_only(arguments: Sequence[object], folder: Path) -> Run:
    """Run the command in a folder, without a model and without training."""
    return _run(
        arguments,
        folder,
        make_classifier=lambda config, model, labels: WordTable(config.task, labels),
        finetune=_untrained,
    )


def _untrained(config: Any, classifier: Any, splits: Any, say: Any) -> Finetuned:
    fitted = Fitted(classifier.weights, np.array(0.0), np.array(1), [])
    return Finetuned(classifier.weights, fitted, {}, {})


def _run(
    arguments: Sequence[object], folder: Path, **instead: Callable[..., Any]
) -> Run:
    error = io.StringIO()
    seen: dict[str, Any] = {"classifier": None, "splits": {}}
    trainer = instead.get("finetune", finetune.finetune)

    def train(config: Any, classifier: Any, splits: Any, say: Any) -> Finetuned:
        seen.update(classifier=classifier, splits=splits)
        return trainer(config, classifier, splits, say)

    replaced = {**instead, "finetune": train}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, function in replaced.items():
            patch.setattr(finetune, name, function)
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(error),
        ):
            status = finetune.main([str(argument) for argument in arguments])
    records = list(folder.glob("*/results.json"))
    return Run(
        status,
        (error.getvalue().splitlines() or [""])[-1],
        sorted(
            str(Path(parent, name).relative_to(folder))
            for parent, _, names in os.walk(folder)
            for name in names
        ),
        json.loads(records[0].read_text()) if records else {},
        **seen,
    )


class WordTable:
    """A `Classifier` of known words that compiles at once, and begins with a bias.

    A word's vector is one of its own; a text's is the mean of its words. At first every
    label is the first one, until training has moved the scores by `LEAD`.
    """

    LEAD = 0.4

    longest = None

    def __init__(self, task: str, labels: Sequence[str]) -> None:
        self.task, self.labels = task, tuple(labels)
        size = len(WORDS) + 1
        self.weights = {
            "encoder": {"table": jnp.eye(size, dtype=jnp.float32)},
            "head": {
                "kernel": jnp.zeros((size, len(labels))).at[:, 0].set(self.LEAD),
                "bias": jnp.zeros(len(labels)),
            },
        }

    def rows(self, examples):
        label_ids = {label: number for number, label in enumerate(self.labels)}
        rows = []
        for index, example in enumerate(examples):
            if self.task == "token":
                words = example.words
                labels = [label_ids[tag] for tag in example.tags]
                places = np.arange(len(words))
            else:
                words = example.text.split()
                labels = label_ids[example.label]
                places = np.zeros(0, np.int64)
            content = [WORDS.index(word) + 1 for word in words]
            labels = np.array(labels, np.int32)
            rows.append(ClassifiedRow(content, len(words), labels, index, places))
        return rows

    def collate(self, rows, length, size):
        tokens = np.zeros((size, length), np.int32)
        for index, row in enumerate(rows):
            tokens[index, : row.length] = row.content
        return tokens

    def logits(self, weights, tokens, dropout_key=None):
        vectors = weights["encoder"]["table"][tokens]
        if self.task == "sequence":
            mask = (tokens > 0)[..., None]
            vectors = jnp.where(mask, vectors, 0).sum(1) / mask.sum(1).clip(1)
        scores = jnp.einsum("...D,DY->...Y", vectors, weights["head"]["kernel"])
        return scores + weights["head"]["bias"].reshape([1] * (scores.ndim - 1) + [-1])

    def mixes(self, weights):
        return ()

    def save(self, directory, weights):
        directory.mkdir()
        np.savez(directory / "weights.npz", **weights["encoder"], **weights["head"])
