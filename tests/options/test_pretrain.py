# SPDX-License-Identifier: Apache-2.0
"""Every option of `train.pretrain` reaches what it is said to change."""

import functools

import pytest

from tests.options.observed_run import Corpora, Pretraining
from tests.options.pretraining_fields import (
    ADAGRAD,
    DOCSTRINGS,
    EVERY,
    IGNORED,
    LAMB,
    LOOP,
    OF_BERT,
    OF_CONFIGS,
    OF_ELMO,
    OF_KINDS,
    OWN_TEXT,
    ROOT,
    TEXT,
    TFDS,
    longer_rows,
    of_adam,
)
from tests.options.table import (
    check_entries,
    check_ignored,
    check_option,
    listed_options,
)
from train.config import config_names
from train.pretrain import main

# What is tried, and on which configuration: each class of the configurations once.
TRIED = {
    "elmo_tiny": LOOP | EVERY | OF_ELMO | DOCSTRINGS,
    "bert_tiny": EVERY | OF_BERT | DOCSTRINGS | of_adam(0.01),
    "elmo_novels": TEXT | OWN_TEXT,
    "elmo_original": TFDS | ADAGRAD,
    "bert_large_lamb": LAMB | longer_rows(ROOT),
}
CASES = [(config, name) for config, table in TRIED.items() for name in table]
# To see these takes runs of their own.
SEEN_BY_A_RUN_OF_ITS_OWN = {"kept", "threads"}


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory) -> Pretraining:
    return Pretraining(Corpora(tmp_path_factory.mktemp("options")))


def test_every_configuration_is_told_of() -> None:
    assert sorted(OF_CONFIGS) == config_names()


@pytest.mark.parametrize("config", OF_CONFIGS)
def test_every_option_has_an_entry(config: str) -> None:
    kind, _, _ = config.partition("_")
    table = OF_KINDS[kind] | OF_CONFIGS[config] | OWN_TEXT
    check_entries(table, listed_options(main, config))


@pytest.mark.parametrize(("config", "name"), CASES)
def test_an_option_changes_what_it_says(pretraining, config: str, name: str) -> None:
    observe = functools.partial(pretraining.observe, config)
    check_option(TRIED[config][name], observe)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        *(("elmo_tiny", name) for name in IGNORED),
        *(("bert_tiny", name) for name in IGNORED),
    ],
)
def test_an_option_that_is_ignored_changes_nothing(pretraining, config, name) -> None:
    observe = functools.partial(pretraining.observe, config)
    names = set(observe([])) - SEEN_BY_A_RUN_OF_ITS_OWN
    check_ignored(IGNORED[name], observe, names)
