# SPDX-License-Identifier: Apache-2.0
"""Every option of `train.evaluate` reaches what it is said to change."""

import functools

import pytest

from tests.options.table import (
    Ignored,
    Option,
    check_entries,
    check_ignored,
    check_option,
    listed_options,
)
from train.evaluate import main

# Of both kinds.
EVERY = {
    "--data": Option("--data other", "batches"),
    "--part": Option("--part train", "batches"),
    "--batch-size": Option("--batch-size 4", "num_rows", to=4),
    "--batches": Option("--batches 1", "num_batches", "--batch-size 4", 1),
}
STEP = {"--step": Option("--step 1", "values", to=[1.0])}
OF_ELMO = {"--reset-state": Option("--no-reset-state", "program")}
OF_BERT = {
    "--length": Option("--length 16", "length", to=16),
    "--pairs": Option("--pairs nsp", ("program", "batches")),
    "--packed": Option("--packed", ("program", "batches")),
}
TRIED = {
    ("elmo", "exported"): EVERY | OF_ELMO,
    ("bert", "exported"): EVERY | OF_BERT,
    ("elmo", "run"): STEP,
    ("bert", "run"): STEP,
}
CASES = [(*model, name) for model, table in TRIED.items() for name in table]
AS_TRAINED = "a run is measured as it was trained"
IGNORED = {
    ("elmo", "--no-reset-state"): AS_TRAINED,
    ("bert", "--length 16"): AS_TRAINED,
    ("bert", "--pairs none"): AS_TRAINED,
    ("bert", "--no-packed"): AS_TRAINED,
}


def test_every_option_has_an_entry() -> None:
    check_entries(EVERY | STEP | OF_ELMO | OF_BERT, listed_options(main))


@pytest.mark.parametrize(("kind", "model", "name"), CASES)
def test_an_option_changes_what_it_says(trained, kind, model, name) -> None:
    observe = functools.partial(trained.observe_evaluate, kind, model)
    check_option(TRIED[kind, model][name], observe)


@pytest.mark.parametrize(("kind", "given"), IGNORED)
def test_a_run_is_measured_as_it_was_trained(trained, kind: str, given: str) -> None:
    observe = functools.partial(trained.observe_evaluate, kind, "run")
    names = list(observe([]))
    check_ignored(Ignored(given, IGNORED[kind, given]), observe, names)
