# SPDX-License-Identifier: Apache-2.0
"""A family that no file of ours names is trained by the same commands as ours."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import numpy as np
import pytest

from embed_jax.files.run_directory import best_step, read_weights, saved_steps
from tests.train.experiments import check_same, losses, make_experiment, one_device
from tests.train.families.bag import FAMILY, Bag, BagPretraining
from train import export
from train.config import to_json
from train.families import registry
from train.loop.optimizer import BertAdam
from train.planning.abstract import abstract_step
from train.prepare import prepare
from train.pretrain import pretrain

ENTRY_POINTS = "[train.families]\nbag = tests.train.families.bag:FAMILY\n"


def installed(path: Path) -> Path:
    """Lay down what an installed package leaves of its entry points."""
    metadata = path / "bag-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bag\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return path


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder of installed packages, of which one brings the family."""
    path = installed(tmp_path / "site")
    monkeypatch.syspath_prepend(path)
    return path


def make_bag(folder: Path) -> BagPretraining:
    return BagPretraining(
        data=make_experiment("elmo", folder).data,
        batch_size=32,
        num_steps=12,
        log_every=1,
        eval_every=4,
        save_every=4,
        optimizer=BertAdam(learning_rate=0.1, warmup_steps=2),
    )


def train(folder: Path, run: Path) -> None:
    pretrain(make_bag(folder), run, mesh=one_device())


# At step 12 the checkpoint of step 4 is whole, and that of step 8 may be.
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.train.families import bag, test_third_family

measure, calls = bag.BagObjective.measure, []

def killed(objective, params):
    calls.append(params)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(objective, params)

bag.BagObjective.measure = killed
test_third_family.train(*map(Path, sys.argv[1:]))
"""


def test_it_is_prepared_trained_killed_resumed_and_exported(folder, site, tmp_path):
    lines: list[str] = []
    prepare(make_bag(folder).data, lines.append)
    assert "is prepared already" in lines[0]

    whole, run = tmp_path / "whole", tmp_path / "run"
    train(folder, whole)
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(run)],
        env={
            **os.environ,
            "PYTHONPATH": f".{os.pathsep}{site}",
            # As the fixture has it here, or numbers would be rounded otherwise.
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
    )
    assert result.returncode == -signal.SIGKILL
    assert saved_steps(run)[-1] in (4, 8)
    train(folder, run)
    check_same(run, whole)
    held_out = [line["loss"] for line in losses(run) if line["kind"] == "held_out"]
    assert held_out[-1] < 0.8 * held_out[0]

    assert export.main([str(run), str(tmp_path / "model")]) == 0
    weights, _ = read_weights(run, best_step(run))
    table = np.load(tmp_path / "model" / "table.npy")
    np.testing.assert_array_equal(table, weights["encoder"]["table"])
    assert 0 <= Bag.hashed("bank", len(table)) < 16


def test_what_it_has_no_answer_to_is_an_error_that_names_it(folder, site):
    with pytest.raises(ValueError, match="the family bag has no plan"):
        abstract_step(make_bag(folder), one_device(), jnp.dtype("float32"))


def test_a_family_may_lie_among_ours(monkeypatch):
    """As a module of train.families, without an entry point."""
    module = ModuleType("train.families.bag")
    monkeypatch.setattr(module, "FAMILY", FAMILY, raising=False)
    monkeypatch.setitem(sys.modules, "train.families.bag", module)
    assert registry.family_named("bag") is FAMILY


def test_a_registered_family_is_known_and_comes_first(site):
    assert registry.known_kinds() == ["bag", "bert", "elmo"]
    assert registry.family_named("bag") is FAMILY
    assert FAMILY in registry.all_families()


@pytest.mark.parametrize("kind", ["bag", "elmo.words", "family", "", "no/such", "../x"])
def test_an_unknown_kind_is_named_with_those_that_are_known(kind):
    message = rf"is called {re.escape(repr(kind))}; .*families: bert, elmo$"
    with pytest.raises(ValueError, match=message):
        registry.family_named(kind)


def test_a_module_that_a_family_lacks_is_said_as_it_is(monkeypatch, tmp_path):
    """A family that is there and cannot be imported is not called unknown."""
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    monkeypatch.setattr(
        registry.train.families,
        "__path__",
        [*registry.train.families.__path__, str(tmp_path)],
    )
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        registry.family_named("broken")


def test_what_an_experiment_file_says_finds_the_family(folder, site, tmp_path):
    assert to_json(make_bag(folder))["kind"] == "bag"
    (tmp_path / "experiment.json").write_text('{"kind": "bag"}')
    assert registry.family_of_run(tmp_path) is FAMILY
    assert registry.family_of(make_bag(folder)) is FAMILY
