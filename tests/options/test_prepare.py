# SPDX-License-Identifier: Apache-2.0
"""Every option of `train.prepare` reaches what it is said to change."""

import functools

import pytest

from tests.options.observed_commands import Preparing
from tests.options.pretraining_fields import OF_CONFIGS, OF_KINDS
from tests.options.table import (
    Ignored,
    Option,
    check_entries,
    check_ignored,
    check_option,
    listed_options,
)
from train.config import config_names
from train.prepare import main

EVERY = {
    "--data.directory": Option("--data.directory there", "directory", to=["there"]),
    "--data.source-directory": Option("--data.source-directory s", "sets"),
    "--data.held-out-every": Option("--data.held-out-every 2", "files"),
    "--data.num-workers": Option(
        "--data.num-workers 3", "error", to="train.prepare: asked for 3 processes\n"
    ),
}
OF_KIND = {
    "elmo": {
        "--data.vocab-size": Option("--data.vocab-size 8", "num_words", to=8),
        "--data.min-count": Option("--data.min-count 2", "num_words"),
        "--data.vocabulary": Option(
            "--data.vocabulary words.txt",
            "vocabulary",
            to=["<S>", "</S>", "<UNK>", "the", "river"],
        ),
        "--data.split": Option("--data.split whitespace", "files"),
        "--data.max-characters": Option("--data.max-characters 6", "width", to=6),
        # Words are read by their characters, and a table besides is refused.
        "--model.vocab-size": Option("--model.vocab-size 9", "error"),
    },
    "bert": {
        "--data.vocab-size": Option("--data.vocab-size 50", "files"),
        "--data.cased": Option("--data.cased", "files"),
        "--data.kind": Option("--data.kind sentencepiece", "files"),
        "--data.tokenizer": Option("--data.tokenizer pieces", "files"),
        # No head of pretraining has classes.
        "--model.labels": Option("--model.labels yes no", "error"),
    },
}
TEXT = {
    "--data.source.patterns": Option("--data.source.patterns other.text", "files"),
    "--data.source.form": Option("--data.source.form sentences", "files"),
}
TFDS = {
    "--data.source.name": Option("--data.source.name other", "files"),
    "--data.source.split": Option("--data.source.split train[:5]", "files"),
    # There is no other text.
    "--data.source.feature": Option("--data.source.feature title", "error"),
    "--data.source.form": Option("--data.source.form documents", "files"),
    "--data.source.data-dir": Option("--data.source.data-dir more", "files"),
}
DOCSTRINGS = {
    "--data.source.packages": Option("--data.source.packages two", "files"),
}
OWN_TEXT = {
    "--text": Option("--text other.text", "files"),
    "--tfds": Option(
        "--tfds text",
        "error",
        to="train.prepare: --text and --tfds: give one of them\n",
    ),
    "--docstrings": Option(
        "--docstrings",
        "error",
        to="train.prepare: --text and --docstrings: give one of them\n",
    ),
    "--field": Option("--field body", "files", "--text records.jsonl"),
    "--form": Option("--form sentences", "files"),
}
TRIED = {
    "elmo_novels": EVERY | OF_KIND["elmo"] | TEXT,
    "bert_novels": OF_KIND["bert"],
    "elmo_original": TFDS,
    "elmo_tiny": DOCSTRINGS,
    "elmo_small": OWN_TEXT,
}
CASES = [(config, name) for config, table in TRIED.items() for name in table]
NOT_OF_PREPARE = {
    *("--workdir", "--coordinator", "--num-processes", "--process-id", "--fsdp"),
    "--tracker",
}


def ignored(config: str) -> dict[str, str]:
    """What is of the run alone: for each option what it is given."""
    kind, _, _ = config.partition("_")
    every = {**OF_KINDS[kind], **OF_CONFIGS[config]}
    read = {*EVERY, *OF_KIND[kind], *NOT_OF_PREPARE}
    return {
        name: option.given
        for name, option in every.items()
        if name not in read and not name.startswith("--data.source.")
    }


def sources(config: str) -> dict[str, Option]:
    """Options of the source that a configuration has."""
    names = {name for name in OF_CONFIGS[config] if name.startswith("--data.source.")}
    return next(table for table in (TEXT, TFDS, DOCSTRINGS) if set(table) == names)


@pytest.fixture(scope="module")
def preparing(tmp_path_factory) -> Preparing:
    return Preparing(tmp_path_factory.mktemp("options"))


@pytest.mark.parametrize("config", config_names())
def test_every_option_has_an_entry(config: str) -> None:
    kind, _, _ = config.partition("_")
    table = {**EVERY, **OF_KIND[kind], **sources(config), **ignored(config), **OWN_TEXT}
    check_entries(table, listed_options(main, config))


@pytest.mark.parametrize(("config", "name"), CASES)
def test_an_option_changes_what_it_says(preparing, config: str, name: str) -> None:
    check_option(TRIED[config][name], functools.partial(preparing.observe, config))


@pytest.mark.parametrize(
    "config", ["elmo_novels", "bert_novels", "elmo_original", "bert_large_lamb"]
)
def test_what_is_of_the_run_alone_changes_no_file(preparing, config: str) -> None:
    # A biLM of one direction is not trained, and so no text is prepared for it.
    refused = {"--model.bidirectional"}
    told = ignored(config).items()
    given = " ".join(each for name, each in told if name not in refused)
    option = Ignored(given, "a text is prepared once for all runs")
    observe = functools.partial(preparing.observe, config)
    assert not observe(given.split())["error"]
    check_ignored(option, observe, ["files", "directory"])
