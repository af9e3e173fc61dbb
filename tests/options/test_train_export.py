# SPDX-License-Identifier: Apache-2.0
"""Every option of `train.export` reaches what it is said to change."""

import functools

import pytest

from tests.options.observed_commands import PACKAGES
from tests.options.table import Option, check_entries, check_option, listed_options
from train.export import main

# None was measured, so that the last of both checkpoints is written by default.
TABLE = {
    "--step": Option("--step 1", "values", to=[1.0]),
    "--latest": Option(
        "--latest --step 1",
        "again",
        to="train.export: --latest and --step: give one of them\n",
    ),
    "--overwrite": Option("--overwrite", "again", to=""),
}


def test_every_option_has_an_entry() -> None:
    check_entries(TABLE, listed_options(main))


@pytest.mark.parametrize("kind", PACKAGES)
@pytest.mark.parametrize("name", TABLE)
def test_an_option_changes_what_it_says(trained, kind: str, name: str) -> None:
    check_option(TABLE[name], functools.partial(trained.observe_export, kind))
