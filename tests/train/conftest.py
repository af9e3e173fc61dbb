# SPDX-License-Identifier: Apache-2.0
"""A corpus that is prepared once, and programs that are compiled once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.train.experiments import kept_compilations, prepare_data


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A small corpus, prepared for both kinds of model; only read."""
    path = tmp_path_factory.mktemp("corpus")
    prepare_data(path)
    return path


@pytest.fixture(scope="module")
def compilations(tmp_path_factory) -> Iterator[Path]:
    """Compile quickly, and a step only once; gives the folder of the programs."""
    path = tmp_path_factory.getbasetemp() / "compiled"
    with kept_compilations(path):
        yield path
