# SPDX-License-Identifier: Apache-2.0
"""Every option of `train.evaluate` reaches what it is said to change."""

import functools

import pytest

from tests.options.table import (
    Option,
    check_entries,
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
# A run is measured as it was trained, unless it is asked otherwise.
OF_BERT_RUN = {
    "--length": Option("--length 16", "length", to=16),
    "--pairs": Option("--pairs none", ("program", "batches")),
    "--packed": Option("--no-packed", ("program", "batches")),
    "--batch-size": Option("--batch-size 4", "num_rows", to=4),
}
# The run measures one batch of itself.
ALL = {"--batches": Option("--batches 0", "num_batches")}
TRIED = {
    ("elmo", "exported"): EVERY | OF_ELMO,
    ("bert", "exported"): EVERY | OF_BERT,
    ("elmo", "run"): STEP | OF_ELMO | ALL,
    ("bert", "run"): STEP | OF_BERT_RUN | ALL,
}
CASES = [(*model, name) for model, table in TRIED.items() for name in table]
OF_ANOTHER = {
    "--reset-state": ("bert", "reset_state is of an ELMo"),
    "--length 16": ("elmo", "length is of a BERT"),
    "--pairs none": ("elmo", "pairs is of a BERT"),
    "--no-packed": ("elmo", "packed is of a BERT"),
}


def test_every_option_has_an_entry() -> None:
    check_entries(EVERY | STEP | OF_ELMO | OF_BERT, listed_options(main))


@pytest.mark.parametrize(("kind", "model", "name"), CASES)
def test_an_option_changes_what_it_says(trained, kind, model, name) -> None:
    observe = functools.partial(trained.observe_evaluate, kind, model)
    check_option(TRIED[kind, model][name], observe)


@pytest.mark.parametrize("given", OF_ANOTHER)
@pytest.mark.parametrize("model", ["run", "exported"])
def test_an_option_of_another_kind_of_model_is_refused(trained, given, model) -> None:
    kind, refusal = OF_ANOTHER[given]
    seen = trained.observe_evaluate(kind, model, given.split())
    assert refusal in seen["error"]
