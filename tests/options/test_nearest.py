# SPDX-License-Identifier: Apache-2.0
"""`python -m embed_jax.nearest`: every option reaches what it is for."""

from pathlib import Path

import numpy as np
import pytest

from embed_jax.explore.nearest import main
from embed_jax.store import StoreWriter
from tests.options.embedding import observer, run
from tests.options.table import Option, check_entries, check_option, listed_options

SENTENCES = {"the bank": [1, 0], "a Bank": [0, 1], "my bank": [4, 3]}

OPTIONS = {
    "--like": Option(
        "--like 2", "places", to=["a [Bank]", "0.600  my [bank]", "0.000  the [bank]"]
    ),
    "--count": Option(
        "--count 1",
        "places",
        to=["the [bank]", "0.800  my [bank]", "0.000  a [Bank]  (farthest)"],
    ),
}


@pytest.fixture(scope="module")
def observe(tmp_path_factory):
    store = tmp_path_factory.mktemp("store") / "vectors.h5"
    with StoreWriter(store, dim=2) as writer:
        for text, vector in SENTENCES.items():
            writer.append(np.array([[9, 9], vector], np.float32), text.split())

    def look(arguments: list[str], folder: Path):
        printed = run(main, [str(store), "bank", *arguments], folder).printed
        return {"places": [line.strip() for line in printed.splitlines()[1:]]}

    return observer(look, lambda: tmp_path_factory.mktemp("run"))


def test_every_option_is_tried():
    check_entries(OPTIONS, listed_options(main))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_what_it_is_for(observe, name):
    check_option(OPTIONS[name], observe)


def test_ten_are_printed_unless_told(tmp_path):
    store = tmp_path / "vectors.h5"
    with StoreWriter(store, dim=1) as writer:
        for _ in range(12):
            writer.append(np.ones((1, 1), np.float32), ["bank"])
    lines = run(main, [str(store), "bank"], tmp_path).printed.splitlines()
    # The first two are its title and its query; the last is the farthest.
    assert [line.endswith("(farthest)") for line in lines[2:]] == [False] * 10 + [True]
