# SPDX-License-Identifier: Apache-2.0
"""The loop where something goes wrong, and what it leaves on the disk."""

import dataclasses
import itertools
import resource
import shutil
import signal
import time
from collections import namedtuple
from pathlib import Path

import jax
import numpy as np
import pytest
from tensorboardX.record_writer import RecordWriter

import bert_jax
import elmo_jax
from embed_jax.devices.mesh import data_mesh
from embed_jax.files.run_directory import (
    CHECKPOINTS,
    MODEL,
    best_step,
    read_weights,
    saved_steps,
)
from tests.families import family_of
from tests.train.experiments import (
    KINDS,
    copy_until,
    losses,
    make_experiment,
    one_device,
    stop_after,
)
from train.config import Pretraining
from train.families.elmo.batches import BilmBatches
from train.families.elmo.objective import BilmObjective
from train.loop.log import METRICS
from train.loop.optimizer import BertAdam
from train.prepare import prepare
from train.pretrain import main, pretrain


@pytest.fixture(scope="module")
def experiment(folder):
    return make_experiment("elmo", folder, keep_last=9, eval_every=0)


@pytest.fixture(scope="module")
def whole(experiment, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "whole"
    pretrain(experiment, path, mesh=one_device())
    assert saved_steps(path) == [3, 6, 9, 12]
    return path


def contents(directory: Path) -> dict[Path, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


def check_finite(run: Path) -> None:
    params, _ = elmo_jax.load(run)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def check_same(run: Path, whole: Path) -> None:
    assert losses(run) == losses(whole)
    weights, expected = (read_weights(path)[0] for path in (run, whole))
    jax.tree.map(np.testing.assert_array_equal, weights, expected)


def test_a_loss_that_is_no_number_ends_the_run(
    experiment, whole, tmp_path, monkeypatch
):
    make = BilmBatches.__getitem__

    def poisoned(batches, number):
        batch = make(batches, number)
        if number != 7:
            return batch
        weights = np.full_like(batch.rows.weights, np.nan)
        return batch._replace(rows=batch.rows._replace(weights=weights))

    monkeypatch.setattr(BilmBatches, "__getitem__", poisoned)
    with pytest.raises(ValueError, match="is nan at step 8; the checkpoint of step 6"):
        pretrain(experiment, tmp_path / "run", mesh=one_device())
    assert saved_steps(tmp_path / "run") == [3, 6]
    assert losses(tmp_path / "run") == [
        line for line in losses(whole) if line["step"] < 8
    ]
    check_finite(tmp_path / "run")
    monkeypatch.undo()
    pretrain(experiment, tmp_path / "run", mesh=one_device())
    check_same(tmp_path / "run", whole)


def test_a_learning_rate_that_is_far_too_high(folder, tmp_path):
    experiment = dataclasses.replace(
        make_experiment("bert", folder, save_every=100),
        optimizer=BertAdam(learning_rate=1e30, warmup_steps=1),
    )
    with pytest.raises(ValueError, match=r"at step \d+, before the first checkpoint"):
        pretrain(experiment, tmp_path / "run", mesh=one_device())
    assert saved_steps(tmp_path / "run") == []


def test_a_run_of_another_configuration_is_left_alone(experiment, whole):
    before = contents(whole)
    other = dataclasses.replace(
        experiment, seed=1, model=dataclasses.replace(experiment.model, cell_dim=20)
    )
    with pytest.raises(ValueError, match="another configuration") as caught:
        pretrain(other, whole, mesh=one_device())
    assert "model.cell_dim is 20 and was 16; seed is 1 and was 0" in str(caught.value)
    assert contents(whole) == before


def test_what_does_not_change_the_numbers_may_change(experiment, whole, tmp_path):
    run = copy_until(whole, tmp_path / "run", 9)
    changed = dataclasses.replace(
        experiment, log_every=3, save_every=2, keep_last=1, num_threads=2
    )
    pretrain(changed, run, mesh=one_device())
    assert saved_steps(run) == [12]
    weights, expected = (read_weights(path)[0] for path in (run, whole))
    jax.tree.map(np.testing.assert_array_equal, weights, expected)


@pytest.mark.parametrize("name", ["runs [1999]", "run*", "what?"])
def test_a_run_whose_checkpoints_would_be_lost_is_refused(experiment, tmp_path, name):
    """Orbax finds its parts by patterns that begin with the path as it stands."""
    run = tmp_path / name / "run"
    with pytest.raises(ValueError, match=r"could not be read again; give another --w"):
        pretrain(experiment, run, mesh=one_device())
    assert not run.parent.exists()


def test_a_full_disk(experiment, whole, tmp_path, monkeypatch, capsys):
    run = copy_until(whole, tmp_path / "run", 6)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(
        "train.loop.checkpoint.shutil.disk_usage", lambda path: usage(10, 10, 0)
    )
    with pytest.raises(OSError, match=r"a checkpoint needs .* the disk has 0\.0 MB"):
        pretrain(experiment, run, mesh=one_device())
    assert saved_steps(run) == [3, 6]
    check_finite(run)
    monkeypatch.undo()
    pretrain(experiment, run, mesh=one_device())
    check_same(run, whole)


def train_where_files_are_small(experiment: Pretraining, run: Path) -> None:
    """Weights do not fit into files of 3 kB, figures do."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
        return False

    pretrain(experiment, run, mesh=one_device(), stop=limit)


def test_a_write_that_fails(experiment, whole, tmp_path, elsewhere):
    run = copy_until(whole, tmp_path / "run", 9)
    (run / METRICS).write_text("")
    with pytest.raises(OSError, match="could not be written"):
        elsewhere.submit(train_where_files_are_small, experiment, run).result()
    assert saved_steps(run) == [3, 6, 9]
    check_finite(run)
    pretrain(experiment, run, mesh=one_device())
    weights, expected = (read_weights(path)[0] for path in (run, whole))
    jax.tree.map(np.testing.assert_array_equal, weights, expected)


def test_the_best_and_the_latest_are_kept(folder, tmp_path, monkeypatch):
    figures = iter([5.0, 1.0, 4.0, 3.0, 2.0])
    monkeypatch.setattr(
        BilmObjective, "measure", lambda *_, **__: {"loss": next(figures)}
    )
    experiment = make_experiment(
        "elmo", folder, num_steps=10, eval_every=2, save_every=5, keep_last=2
    )
    # What is the best is remembered by the disk, not by the process.
    pretrain(experiment, tmp_path, mesh=one_device(), stop=stop_after(7))
    assert saved_steps(tmp_path) == [4, 6, 7]
    pretrain(experiment, tmp_path, mesh=one_device())
    assert saved_steps(tmp_path) == [4, 8, 10]
    assert best_step(tmp_path) == 4


def test_a_full_disk_for_a_moment_stops_no_curve_and_no_run(
    experiment, whole, tmp_path, monkeypatch
):
    write = RecordWriter.write
    calls = itertools.count()

    def failing(writer, data):
        if 5 <= next(calls) < 9:
            raise OSError(28, "No space left on device")
        write(writer, data)

    monkeypatch.setattr(RecordWriter, "write", failing)
    pretrain(experiment, tmp_path / "run", mesh=one_device())
    check_same(tmp_path / "run", whole)


def test_nothing_is_held_out(folder, tmp_path):
    experiment = make_experiment("elmo", folder, num_steps=3, eval_every=2)
    data = dataclasses.replace(
        experiment.data, held_out_every=0, directory=tmp_path / "words"
    )
    prepare(data, lambda line: None)
    experiment = dataclasses.replace(experiment, data=data)
    pretrain(experiment, tmp_path / "run", mesh=one_device())
    assert {line["kind"] for line in losses(tmp_path / "run")} == {"train"}
    assert saved_steps(tmp_path / "run") == [2, 3]
    assert best_step(tmp_path / "run") is None


def test_a_batch_is_spread_evenly_or_not_at_all(experiment, tmp_path):
    with pytest.raises(ValueError, match="batch_size 8 is not a multiple of 3 devices"):
        pretrain(experiment, tmp_path / "run", mesh=data_mesh(jax.devices()[:3]))
    parts = dataclasses.replace(experiment, grad_accum_steps=4)
    with pytest.raises(ValueError, match="4 devices times grad_accum_steps 4"):
        pretrain(parts, tmp_path / "run", mesh=data_mesh(jax.devices()[:4]))
    assert not (tmp_path / "run").exists()


def test_a_size_that_the_prepared_text_overrules(folder, tmp_path):
    experiment = make_experiment("bert", folder)
    model = dataclasses.replace(experiment.model, vocab_size=500)
    asked = dataclasses.replace(experiment, model=model)
    message = "model.vocab_size is 500, and 90 in the prepared text, which decides"
    with pytest.raises(ValueError, match=message):
        pretrain(asked, tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_data_that_is_not_prepared(tmp_path, kind):
    experiment = make_experiment(kind, tmp_path)
    with pytest.raises(
        ValueError, match=r"is not prepared; run python -m train\.prepare"
    ):
        pretrain(experiment, tmp_path / "run", mesh=one_device())
    assert not (tmp_path / "run").exists()


def test_the_command_fails_in_one_line(tmp_path, capsys):
    directory = ["--data.directory", str(tmp_path / "none")]
    status = main(["elmo_tiny", "--workdir", str(tmp_path / "run"), *directory])
    assert status == 2
    error = capsys.readouterr().err
    assert error.startswith("train.pretrain: ")
    assert error.count("\n") == 1
    assert "is not prepared" in error


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--num-processes", "2"], "--num-processes and --process-id belong together"),
        (
            ["--coordinator", "a:1", "--num-processes", "2", "--process-id", "2"],
            "--process-id 2 is not one of 0 to 1",
        ),
    ],
)
def test_processes_that_are_badly_named(tmp_path, capsys, options, text):
    assert main(["elmo_tiny", "--workdir", str(tmp_path / "run"), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.pretrain: ")
    assert text in error


def test_a_directory_of_something_else_is_left_alone(experiment, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="is no run and not empty"):
        pretrain(experiment, tmp_path, mesh=one_device())
    assert contents(tmp_path) == {tmp_path / "thesis.tex": b"precious"}


def test_a_run_that_was_killed_while_it_began(experiment, whole, tmp_path):
    shutil.copytree(whole / MODEL, tmp_path / MODEL)
    (tmp_path / f".{MODEL}.abc").mkdir()
    (tmp_path / "experiment.json.0a1b2c3d.new").write_text("{")
    pretrain(experiment, tmp_path, mesh=one_device())
    check_same(tmp_path, whole)
    elmo_jax.load(tmp_path)


@pytest.mark.parametrize("name", ["options.json", "weights.hdf5"])
def test_a_model_of_somebody_elses_is_left_alone(experiment, whole, tmp_path, name):
    """In RUN/model, of the same shape or of another."""
    shutil.copytree(whole / MODEL, tmp_path / MODEL)
    (tmp_path / MODEL / name).write_text("precious")
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="model is there already, and is not"):
        pretrain(experiment, tmp_path, mesh=one_device())
    assert contents(tmp_path) == before


def test_lines_of_steps_that_are_made_again_are_taken_back(experiment, whole, tmp_path):
    run = copy_until(whole, tmp_path / "run", 9)
    with (run / METRICS).open("a") as file:
        file.write('{"step": 13, "kind": "tr')
    pretrain(experiment, run, mesh=one_device())
    check_same(run, whole)


def train(experiment: Pretraining, run: Path) -> None:
    pretrain(experiment, run, mesh=one_device())


def test_a_damaged_checkpoint_is_named(experiment, whole, tmp_path, elsewhere):
    run = copy_until(whole, tmp_path / "run", 9)
    for path in (run / CHECKPOINTS / "9").rglob("*"):
        if path.is_file() and "ocdbt.process_0" in str(path):
            path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"checkpoints/9 is damaged.* remove it"):
        elsewhere.submit(train, experiment, run).result()
    with pytest.raises(ValueError, match="checkpoints/9/params is damaged"):
        elsewhere.submit(elmo_jax.load, run).result()
    shutil.rmtree(run / CHECKPOINTS / "9")
    pretrain(experiment, run, mesh=one_device())
    check_same(run, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_can_be_loaded_while_the_run_goes_on(folder, tmp_path, kind):
    package = {"elmo": elmo_jax, "bert": bert_jax}[kind]
    loaded = []

    def look() -> bool:
        assert family_of(tmp_path) == kind
        if len(loaded) < 3:
            with pytest.raises(ValueError, match="holds no checkpoint yet"):
                package.load(tmp_path)
            loaded.append(None)
            return False
        # It is written beside the steps.
        deadline = time.monotonic() + 20
        while not saved_steps(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        loaded.append(package.load(tmp_path))
        return False

    experiment = make_experiment(kind, folder, num_steps=6, keep_last=9)
    pretrain(experiment, tmp_path, mesh=one_device(), stop=look)
    params, tokenizer = loaded[3]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    assert params.heads
    weights, step = read_weights(tmp_path, 3)
    assert step == 3
    jax.tree.map(np.testing.assert_array_equal, params.encoder, weights["encoder"])
    vectors = package.embed_words(params, tokenizer, ["The walrus sees bread."])
    assert vectors[0].shape[1] == params.config.layer_dim
    bare, _ = package.load(tmp_path, encoder_only=True)
    assert not bare.heads


def test_a_stop_at_the_last_step_is_an_end(experiment, tmp_path, capsys):
    short = dataclasses.replace(experiment, num_steps=2)
    pretrain(short, tmp_path, mesh=one_device(), stop=stop_after(2))
    assert saved_steps(tmp_path) == [2]
    assert "stopped" not in capsys.readouterr().err
