# SPDX-License-Identifier: Apache-2.0
"""A run whose directory is in a bucket is one like those on a disk."""

from pathlib import Path

import numpy as np
import pytest
from jax import tree

import embed_jax
from embed_jax.files.run_directory import best_step, saved_steps
from tests.claims import claimed_by_another
from tests.train.experiments import (
    check_same,
    make_experiment,
    one_device,
    stop_after,
)
from train import evaluate, export
from train.config import to_json
from train.families.registry import family_of
from train.loop.log import CURVES
from train.loop.setup import set_up, write_model
from train.pretrain import pretrain


@pytest.mark.parametrize("kind", ["bert", pytest.param("elmo", marks=pytest.mark.slow)])
def test_a_run_goes_on_and_is_read_as_from_a_disk(
    folder, tmp_path: Path, in_bucket: Path, kind: str, capsys
):
    changes = {"num_steps": 4, "save_every": 2, "eval_every": 4, "eval_batches": 1}
    experiment = make_experiment(kind, folder, **changes)
    whole = tmp_path / "whole"
    pretrain(experiment, whole, mesh=one_device())
    pretrain(experiment, in_bucket, mesh=one_device(), stop=stop_after(3))
    assert saved_steps(in_bucket) == [2, 3]
    capsys.readouterr()
    with (
        claimed_by_another(in_bucket, inside=True),
        pytest.raises(BlockingIOError, match=r"gs://.* is being written by process"),
    ):
        pretrain(experiment, in_bucket, mesh=one_device())
    pretrain(experiment, in_bucket, mesh=one_device())
    assert "going on from the checkpoint of step 3" in capsys.readouterr().err
    check_same(in_bucket, whole)
    assert best_step(in_bucket) == 4
    names = {path.name for path in in_bucket.iterdir()}
    assert names == {path.name for path in whole.iterdir()}
    assert len(list((in_bucket / CURVES).iterdir())) == 2

    expected, _ = embed_jax.load(whole)
    params, _ = embed_jax.load(str(in_bucket))
    tree.map(np.testing.assert_array_equal, params, expected)
    measured = [
        evaluate.evaluate(
            evaluate.Command(model=run, data=experiment.data.directory, batches=1)
        )
        # As a command line gives it.
        for run in (whole, Path(str(in_bucket)))
    ]
    assert measured[0] == measured[1]
    assert export.export(Path(str(in_bucket)), tmp_path / "model") == 4
    params, _ = embed_jax.load(tmp_path / "model")
    tree.map(np.testing.assert_array_equal, params.encoder, expected.encoder)


def test_a_run_begins_from_a_run_in_a_bucket(folder, in_bucket: Path):
    changes = {"num_steps": 2, "eval_every": 0}
    experiment = make_experiment("bert", folder, **changes)
    pretrain(experiment, in_bucket, mesh=one_device())
    given, _ = embed_jax.load(in_bucket)
    going_on = make_experiment("bert", folder, init_from=in_bucket, **changes)
    taken = set_up(going_on).params
    tree.map(np.testing.assert_array_equal, taken.encoder, given.encoder)
    assert to_json(going_on)["init_from"] == str(in_bucket)


def test_what_a_killed_beginning_left_there_is_completed(folder, in_bucket: Path):
    experiment = make_experiment("bert", folder)
    setup, family = set_up(experiment), family_of(experiment)
    write_model(family, in_bucket, setup.params, setup.tokenizer)
    held = {path: path.read_bytes() for path in in_bucket.iterdir()}
    assert len(held) > 2
    (in_bucket / "config.json").unlink()
    write_model(family, in_bucket, setup.params, setup.tokenizer)
    assert {path: path.read_bytes() for path in in_bucket.iterdir()} == held

    (in_bucket / "config.json").write_bytes(b"{}")
    with pytest.raises(FileExistsError, match=r"gs://.* is there already, and is not"):
        write_model(family, in_bucket, setup.params, setup.tokenizer)
    assert (in_bucket / "config.json").read_bytes() == b"{}"


def test_a_bucket_that_holds_something_else_is_no_run(folder, in_bucket: Path):
    (in_bucket / "thesis.tex").write_bytes(b"all of it")
    experiment = make_experiment("bert", folder, num_steps=2, eval_every=0)
    with pytest.raises(ValueError, match=r"gs://.* is no run and not empty"):
        pretrain(experiment, in_bucket, mesh=one_device())
