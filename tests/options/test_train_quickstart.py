# SPDX-License-Identifier: Apache-2.0
"""Every option of `train.quickstart` reaches what it is said to change."""

import pytest

from tests.options.observed_commands import Quickstart
from tests.options.table import Option, check_entries, check_option, listed_options
from train.quickstart import main

TABLE = {
    "--directory": (
        Option("--directory d", "runs", to=["d/runs/elmo_tiny", "d/runs/bert_tiny"]),
        Option("--directory d", "models", to=["d/elmo_tiny", "d/bert_tiny"]),
        Option(
            "--directory d", "texts", "", ["d/docstrings_words", "d/docstrings_pieces"]
        ),
        Option("--directory d", "said"),
    ),
    # Of the warm-ups a tenth of the steps at most is left.
    "--steps": (
        Option("--steps 30", "steps", to=[30, 30]),
        Option("--steps 30", "warmups", to=[3, 3]),
    ),
}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> Quickstart:
    return Quickstart(tmp_path_factory.mktemp("options"))


def test_every_option_has_an_entry() -> None:
    check_entries(TABLE, listed_options(main))


@pytest.mark.parametrize("name", TABLE)
def test_an_option_changes_what_it_says(quickstart, name: str) -> None:
    for option in TABLE[name]:
        check_option(option, quickstart.observe)
