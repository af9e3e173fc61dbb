# SPDX-License-Identifier: Apache-2.0
"""The notebooks run from a clean kernel, on short runs, and hold no outputs."""

import dataclasses
import importlib

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY
from tests.train.experiments import bilm_experiment, masked_lm_experiment
from train.pretrain import pretrain

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def test_there_is_one_for_each_model_and_one_for_a_pipeline():
    assert [path.stem for path in NOTEBOOKS] == ["bert", "elmo", "pipeline"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_committed(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
