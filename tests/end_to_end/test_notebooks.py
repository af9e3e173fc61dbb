# SPDX-License-Identifier: Apache-2.0
"""The quickstart's runs, and the notebooks on top of them, from a clean kernel."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY
from tests.families import family_of
from train import quickstart

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def test_there_is_one_for_each_model_and_one_for_a_pipeline():
    assert [path.stem for path in NOTEBOOKS] == ["bert", "elmo", "pipeline"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_committed(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.mark.slow
def test_the_quickstart_and_the_notebooks_run(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "quickstart"
    assert quickstart.main(["--directory", str(folder), "--steps", "40"]) == 0
    said = capfd.readouterr().out
    assert 'contexts of "string"' in said
    assert (folder / "contexts.png").read_bytes().startswith(b"\x89PNG")
    assert family_of(folder / "bert_tiny") == "bert"
    assert family_of(folder / "elmo_tiny") == "elmo"
    # What is there is not made again.
    assert quickstart.main(["--directory", str(folder), "--steps", "40"]) == 0
    assert "pretraining" not in capfd.readouterr().out

    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    for kind in ("elmo", "bert"):
        monkeypatch.setenv(f"{kind.upper()}_RUN", str(folder / f"runs/{kind}_tiny"))
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=300, resources=resources).execute()
