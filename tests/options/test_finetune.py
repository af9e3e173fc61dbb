# SPDX-License-Identifier: Apache-2.0
"""`python -m train.finetune`: every option that its help lists reaches what it is for.

How training goes is seen with a table of words in the model's place; where another
configuration shows it already, only that results.json has the value. What the
classifier is made with is seen of all four, with real models.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.compilations import compiling_quickly
from tests.options.table import Option, check_entries, check_option, listed_options
from tests.train.finetune_run import (
    Run,
    make_only,
    record_only,
    train_words,
    write_data,
)
from tests.train.quick_models import save_bert, save_elmo
from train.config import config_names
from train.finetune import main
from train.tasks.finetune.finetuning import Finetuning

CONFIGS = config_names(Finetuning)
COMMON = "--data both --output out --num-epochs 5 --batch-size 8".split()

# What every configuration has, whatever it labels.
LEARNING = {
    "--data": Option("--data other", "examples", to={"train": 2, "dev": 2, "test": 2}),
    "--output": Option("--output new", "output", to=["new"]),
    # An output that is there already.
    "--overwrite": Option("--overwrite", "status", to=0),
    # Untrained, nothing has a score.
    "--csv": Option("--csv seeds.csv", "seeds", to="task,spec,seed\n"),
    # The words are the tags then, or there are texts; and there is a test.
    "--column": Option("--column -1", "error"),
    "--tag-column": Option("--tag-column 1", "error"),
    "--test-fraction": Option("--test-fraction 0.5", "error"),
    "--train-limit": Option(
        "--train-limit 6", "examples", to={"train": 6, "dev": 6, "test": 6}
    ),
    "--batch-size": Option("--batch-size 16", "losses"),
    "--num-epochs": Option("--num-epochs 2", "num_epochs", to=2),
    "--learning-rate": Option("--learning-rate 0.02", "losses"),
    "--encoder-learning-rate": Option(
        "--encoder-learning-rate 0.5", "losses", "--frozen-steps 0"
    ),
    "--frozen-steps": Option("--frozen-steps 3", "losses"),
    "--warmup-rate": Option("--warmup-rate 0.5", "losses"),
    "--weight-decay": Option("--weight-decay 0.5", "losses"),
    "--max-gradient-norm": Option("--max-gradient-norm 0.01", "losses"),
    # With such a rate no epoch is better than the first one.
    "--patience": Option(
        "--patience 1", "num_epochs", "--learning-rate 1e-9 --patience 0", to=2
    ),
    "--seed": Option("--seed 3", "losses"),
}
BERT_LEARNING = {"--recipe": Option("--recipe transformers", "losses")}
ELMO_LEARNING = {"--recipe": Option("--recipe published", "losses")}
# Beginning as it does, the table at first gives every word, or text, the first label.
WORD_LEARNING = LEARNING | {
    "--task": Option("--task sequence", "labels", to=["bad", "good"]),
    "--metric": Option("--metric accuracy", "kept_epoch", to=1),
}
TEXT_LEARNING = LEARNING | {
    "--task": Option("--task token", "labels", to=["O", "B-PER", "I-PER"]),
    "--metric": Option("--metric macro_f1", "kept_epoch", to=2),
}
LEARNING_TABLES = {
    "finetune_ner": WORD_LEARNING | BERT_LEARNING,
    "finetune_polarity": TEXT_LEARNING | BERT_LEARNING,
    "finetune_elmo_ner": WORD_LEARNING | ELMO_LEARNING,
    "finetune_elmo_polarity": TEXT_LEARNING | ELMO_LEARNING,
}
# What is trained for, and a learning rate that leaves the first label for one epoch.
TRAINED = {
    "finetune_ner": (
        {*LEARNING_TABLES["finetune_ner"]},
        "--learning-rate 0.01",
    ),
    "finetune_elmo_polarity": (
        {"--encoder-learning-rate", "--frozen-steps", "--patience"}
        | {"--recipe", "--metric"},
        "--learning-rate 0.04",
    ),
}
# What is seen after training only.
LEARNT = "losses", "num_epochs", "kept_epoch"

# What only another kind of model reads is at least written down.
MAKING = {
    "finetune_ner": {
        "--model": Option("--model bert2", "weights"),
        "--dropout-rate": Option("--dropout-rate 0.25", "dropout", to=[0.25] * 3),
        "--max-length": Option("--max-length 4", "longest", to=4),
        "--context": Option("--context document", "lengths"),
        "--layers": Option("--layers last", "config"),
        "--mix-penalty": Option("--mix-penalty 0.1", "config"),
    },
    "finetune_polarity": {
        "--model": Option("--model bert2", "weights"),
        "--dropout-rate": Option("--dropout-rate 0.25", "dropout", to=[0.25] * 3),
        "--max-length": Option("--max-length 4", "longest", to=4),
        "--context": Option("--context document", "config"),
        "--layers": Option("--layers last", "config"),
        "--mix-penalty": Option("--mix-penalty 0.1", "config"),
    },
    "finetune_elmo_ner": {
        "--model": Option("--model elmo2", "weights"),
        "--dropout-rate": Option("--dropout-rate 0", "program"),
        "--max-length": Option("--max-length 4", "config"),
        "--context": Option(
            "--context document",
            "error",
            to="train.finetune: context document: an ELMo reads each sentence alone",
        ),
        "--layers": Option("--layers last", "layers", to="last"),
        "--mix-penalty": Option("--mix-penalty 0.1", "config"),
    },
    "finetune_elmo_polarity": {
        "--model": Option("--model elmo2", "weights"),
        "--dropout-rate": Option("--dropout-rate 0", "program"),
        "--max-length": Option("--max-length 3", "longest", to=3),
        "--context": Option(
            "--context document",
            "error",
            to="train.finetune: context document: an ELMo reads each sentence alone",
        ),
        "--layers": Option("--layers last", "layers", to="last"),
        "--mix-penalty": Option("--mix-penalty 0.1", "config"),
    },
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for seed, number in enumerate(("", "2")):
        save_bert(folder / f"bert{number}", seed)
        save_elmo(folder / f"elmo{number}", seed)
    write_data(folder / "both")
    write_data(folder / "other", limit=2)
    return folder


class Seen:
    """What is seen of a run, each by its name and only when it is asked for."""

    def __init__(self, ran: Run, folder: Path) -> None:
        self._ran, self._folder = ran, folder

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)()

    def config(self):
        return self._ran.record["config"]

    def examples(self):
        return self._ran.record["examples"]

    def labels(self):
        return self._ran.record["labels"]

    def status(self):
        return self._ran.status

    def error(self):
        return self._ran.error

    def seeds(self):
        path = self._folder / "seeds.csv"
        return path.read_text() if path.exists() else None

    def output(self):
        return sorted({name.split("/")[0] for name in self._ran.files})

    def losses(self):
        return [epoch["loss"] for epoch in self._ran.record["epochs"]]

    def num_epochs(self):
        return len(self._ran.record["epochs"])

    def kept_epoch(self):
        return self._ran.record["kept_epoch"]

    def weights(self):
        leaves = jax.tree.leaves(self._ran.classifier.weights["encoder"])
        return [np.asarray(leaf) for leaf in leaves]

    def lengths(self):
        rows = self._ran.classifier.rows(self._ran.splits["test"])
        return [row.length for row in rows]

    def longest(self):
        return max(self.lengths())

    def dropout(self):
        written = json.loads((self._folder / "out/model/config.json").read_text())
        places = "hidden_dropout_prob", "attention_probs_dropout_prob"
        return [written[place] for place in (*places, "classifier_dropout")]

    def layers(self):
        return json.loads((self._folder / "out/model/head.json").read_text())["layers"]

    def program(self):
        classifier = self._ran.classifier
        rows = classifier.rows(self._ran.splits["train"][:2])
        given = classifier.weights, classifier.collate(rows, 8, 2), jax.random.key(0)
        return str(jax.make_jaxpr(classifier.logits)(*given))


@pytest.fixture(scope="module")
def observe(inputs, tmp_path_factory) -> Callable[..., Seen]:
    """Observe a way of running the command, each list of arguments once."""

    @functools.cache
    def look(way: Callable[..., Run], times: int, arguments: tuple[str, ...]) -> Seen:
        folder = tmp_path_factory.mktemp("run")
        for name in ("bert", "bert2", "elmo", "elmo2", "both", "other"):
            (folder / name).symlink_to(inputs / name)
        for _ in range(times):
            ran = way(arguments, folder)
        return Seen(ran, folder)

    with compiling_quickly():
        yield look


def check(observe, way, option: Option, *given: str, times: int = 1) -> None:
    check_option(option, lambda more: observe(way, times, (*given, *COMMON, *more)))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_option_is_tried(name):
    check_entries(LEARNING_TABLES[name] | MAKING[name], listed_options(main, name))


@pytest.mark.parametrize("option", LEARNING_TABLES["finetune_ner"])
@pytest.mark.parametrize("name", CONFIGS)
def test_an_option_changes_how_it_is_learnt(observe, name, option):
    entry = LEARNING_TABLES[name][option]
    trained_for, rate = TRAINED.get(name, ((), ""))
    model = name, "--model", "any"
    if entry.changes not in LEARNT:
        times = 2 if option == "--overwrite" else 1
        check(observe, record_only, entry, *model, times=times)
    elif option in trained_for:
        check(observe, train_words, entry, *model, *rate.split())
    else:
        check(observe, record_only, Option(entry.given, "config"), *model)


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in CONFIGS for option in MAKING[name]]
)
def test_an_option_changes_the_classifier_that_is_made(observe, name, option):
    model = "elmo" if "elmo" in name else "bert"
    check(observe, make_only, MAKING[name][option], name, "--model", model)
