# SPDX-License-Identifier: Apache-2.0
"""A run is what it was trained on, and its files are what was written."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from etils import epath

import bert_jax
import elmo_jax
import embed_jax
from embed_jax.files.checked_files import CHECKSUMS
from embed_jax.files.run_directory import (
    CHECKPOINTS,
    EXPERIMENT,
    MODEL,
    best_step,
    kind_of,
    read_weights,
)
from tests.train.experiments import (
    KINDS,
    check_same,
    copy_until,
    make_experiment,
    one_device,
)
from train.config import Pretraining
from train.data.identity import check_identity, identify
from train.loop.log import METRICS, read_metrics
from train.prepare import prepare
from train.pretrain import pretrain
from train.recorded import recorded

PACKAGES = {"elmo": elmo_jax, "bert": bert_jax}
SETTINGS = {"elmo": "options.json", "bert": "config.json"}
STEPS = {"num_steps": 4, "save_every": 2, "eval_every": 2, "keep_last": 9}


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> dict[str, Path]:
    path = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        experiment = make_experiment(kind, folder, **STEPS)
        pretrain(experiment, path / kind, mesh=one_device())
    return {kind: path / kind for kind in KINDS}


def go_on(experiment: Pretraining, run: Path) -> None:
    pretrain(experiment, run, mesh=one_device())


def moved_text(experiment: Pretraining, path: Path) -> Pretraining:
    """Copy the prepared text to another directory."""
    shutil.copytree(experiment.data.directory, path)
    data = dataclasses.replace(experiment.data, directory=path)
    return dataclasses.replace(experiment, data=data)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# A checkpoint


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_loaded_at_any_of_its_steps(whole, kind):
    run, load = whole[kind], PACKAGES[kind].load
    latest, _ = load(run)
    by_step = {step: load(run, step=step)[0] for step in (2, 4)}
    jax.tree.map(np.testing.assert_array_equal, by_step[4], latest)
    for step, params in by_step.items():
        weights, _ = read_weights(run, step)
        jax.tree.map(np.testing.assert_array_equal, params.encoder, weights["encoder"])
    first, last = (jax.tree.leaves(by_step[step].encoder)[0] for step in (2, 4))
    assert np.any(np.asarray(first) != np.asarray(last))
    halved, _ = embed_jax.load(run, step=2, dtype="bfloat16")
    rounded = jax.tree.map(lambda leaf: leaf.astype("bfloat16"), by_step[2])
    jax.tree.map(np.testing.assert_array_equal, halved, rounded)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_a_run_did_not_save_is_answered_by_those_it_did(whole, kind):
    for load in (PACKAGES[kind].load, embed_jax.load):
        with pytest.raises(ValueError, match=r"no checkpoint of step 3, only 2, 4$"):
            load(whole[kind], step=3)
        with pytest.raises(ValueError, match="no checkpoint of step 0, only"):
            load(whole[kind], step=0)


# The text


def test_a_run_goes_on_with_text_that_was_moved(folder, whole, tmp_path, monkeypatch):
    run = copy_until(whole["elmo"], tmp_path / "run", 2)
    moved = moved_text(make_experiment("elmo", folder, **STEPS), tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    data = dataclasses.replace(moved.data, directory=Path("moved"))
    go_on(dataclasses.replace(moved, data=data), run)
    check_same(run, whole["elmo"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_does_not_go_on_with_another_vocabulary_or_text(
    folder, whole, tmp_path, kind
):
    experiment = make_experiment(kind, folder, **STEPS)
    corpus = (folder / "corpus.txt").read_text(encoding="utf-8")
    corpus = corpus.replace("walrus", "dolphin").replace("bread", "fishes")
    (tmp_path / "corpus.txt").write_text(corpus, encoding="utf-8")
    other = dataclasses.replace(
        experiment.data,
        source=make_experiment(kind, tmp_path).data.source,
        directory=tmp_path / "other",
    )
    prepare(other, lambda line: None)
    run = copy_until(whole[kind], tmp_path / "run", 2)
    with pytest.raises(ValueError, match=r"other holds another vocabulary than .*/run"):
        go_on(dataclasses.replace(experiment, data=other), run)
    moved = moved_text(experiment, tmp_path / "moved")
    held = json.loads((whole[kind] / EXPERIMENT).read_text())["prepared_text"]
    check_identity(held, moved.data, whole[kind])
    tokens = tmp_path / "moved/train/tokens.npy"
    array = np.load(tokens)
    array[0] += 1
    np.save(tokens, array)
    with pytest.raises(
        ValueError, match=r"moved holds another text than .*--data\.dir"
    ):
        check_identity(held, moved.data, whole[kind])
    assert identify(experiment.data) == held


def test_a_run_of_an_earlier_version_goes_on(folder, whole, tmp_path):
    """Without digests and checksums."""
    run = copy_until(whole["elmo"], tmp_path / "run", 2)
    (run / CHECKSUMS).unlink()
    (run / MODEL / CHECKSUMS).unlink()
    shutil.rmtree(run / CHECKPOINTS / "2/checksums")
    written = json.loads((run / EXPERIMENT).read_text())
    del written["prepared_text"]
    (run / EXPERIMENT).write_text(json.dumps(written))
    go_on(make_experiment("elmo", folder, **STEPS), run)
    check_same(run, whole["elmo"])


def test_the_model_to_begin_from_may_be_gone_and_is_no_other(folder, whole, tmp_path):
    first = shutil.copytree(whole["elmo"], tmp_path / "first")
    experiment = make_experiment("elmo", folder, **STEPS | {"num_steps": 2})
    run = tmp_path / "run"
    go_on(dataclasses.replace(experiment, init_from=first), run)
    before = read_weights(run)[0]
    same = first.rename(tmp_path / "renamed")
    other = copy_until(whole["elmo"], tmp_path / "other", 2)
    for init_from in (first, same):  # the one is gone, the other is the same
        go_on(dataclasses.replace(experiment, init_from=init_from), run)
    with pytest.raises(ValueError, match=r"other is another model than .*/first, from"):
        go_on(dataclasses.replace(experiment, init_from=other), run)
    with pytest.raises(ValueError, match="init_from is None and was"):
        go_on(experiment, run)
    jax.tree.map(np.testing.assert_array_equal, read_weights(run)[0], before)


# The configuration


@pytest.mark.parametrize(
    ("kind", "old", "new", "text"),
    [
        ("bert", 'layers": 1', 'layers": 2', "it lacks encoder.layer_1"),
        ("bert", 'layers": 1', 'layers": 1000000000', "it lacks encoder.layer_1"),
        ("bert", 'size": 32', 'size": 64', r"shape \[16, 32\], not \[16, 64\]"),
        ("elmo", 'layers": 2', 'layers": 1', "encoder.backward_1.bias has no place"),
        ("elmo", 'layers": 2', 'layers": 1000000000', "it lacks encoder.forward_2"),
        ("elmo", '"dim": 16', '"dim": 32', r"shape \[16, 64\], not \[16, 128\]"),
    ],
)
def test_weights_are_held_against_the_configuration(
    whole, tmp_path, kind, old, new, text
):
    run = shutil.copytree(whole[kind], tmp_path / "run")
    settings = run / MODEL / SETTINGS[kind]
    edit(settings, old, new)
    with pytest.raises(ValueError, match=rf"{settings.name} is damaged: it is not"):
        PACKAGES[kind].load(run)
    (settings.parent / CHECKSUMS).unlink()
    with pytest.raises(ValueError, match=rf"{settings.name}: .*{text}"):
        PACKAGES[kind].load(run)


def test_a_run_of_a_later_form_is_refused_in_words(folder, whole, tmp_path):
    run = copy_until(whole["elmo"], tmp_path / "run", 2)
    written = json.loads((run / EXPERIMENT).read_text())
    assert written["form"] == 1
    (run / EXPERIMENT).write_text(json.dumps(written | {"form": 9}))
    (run / CHECKSUMS).unlink()
    experiment = make_experiment("elmo", folder, **STEPS)
    for read in (
        lambda: embed_jax.load(run),
        lambda: recorded(run),
        lambda: go_on(experiment, run),
    ):
        with pytest.raises(ValueError, match=r"form 9, and this version reads .* 1;"):
            read()


# The files


@pytest.mark.parametrize("content", ['{"kind": "elmo"}', "{", ""])
def test_a_damaged_configuration_is_refused_by_name(folder, whole, tmp_path, content):
    run = copy_until(whole["elmo"], tmp_path / "run", 2)
    (run / EXPERIMENT).write_text(content)
    experiment = make_experiment("elmo", folder, **STEPS)
    for read in (
        lambda: kind_of(run),
        lambda: recorded(run),
        lambda: go_on(experiment, run),
    ):
        with pytest.raises(ValueError, match=r"run/experiment\.json is damaged"):
            read()


def replace_item(run: Path, step: int, item: str) -> None:
    """Change one number in an item of a checkpoint, which is whole for Orbax."""
    path = epath.Path(run.absolute() / CHECKPOINTS / str(step) / item)
    handler = ocp.PyTreeCheckpointHandler()
    names = handler.metadata(path).tree
    arguments = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    tree = handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=arguments))
    last = max(name for name in tree if np.size(tree[name]) > 1)
    tree[last].reshape(-1)[0] += 1
    path.rmtree()
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)


def test_a_changed_number_in_a_checkpoint_is_refused(folder, whole, tmp_path):
    experiment = make_experiment("elmo", folder, **STEPS)
    for item in ("params", "opt_state", "carry"):
        run = copy_until(whole["elmo"], tmp_path / item, 2)
        replace_item(run, 2, item)
        with pytest.raises(
            ValueError, match=rf"2/{item} is damaged: .*; remove it, and"
        ):
            go_on(experiment, run)
    with pytest.raises(ValueError, match=r"2/params is damaged: .*load another step"):
        elmo_jax.load(tmp_path / "params")


@pytest.mark.parametrize("item", ["position", "metrics", "checksums"])
@pytest.mark.parametrize("cut", [True, False])
def test_damaged_figures_of_a_checkpoint_are_refused(
    whole, tmp_path, item, cut, folder
):
    run = copy_until(whole["elmo"], tmp_path / "run", 2)
    (path,) = (run / CHECKPOINTS / "2" / item).glob("met*")
    text = path.read_text()
    place = next(i for i in range(len(text) - 1, 0, -1) if text[i].isdecimal())
    other = str((int(text[place]) + 1) % 10)
    path.write_text(text[:place] if cut else text[:place] + other + text[place + 1 :])
    with pytest.raises(ValueError, match=r"checkpoints/2/"):
        go_on(make_experiment("elmo", folder, **STEPS), run)
    if item != "position":
        with pytest.raises(ValueError, match=r"checkpoints/2/"):
            best_step(run)


def test_a_checkpoint_that_lacks_an_item_is_not_called_damaged(folder, whole, tmp_path):
    experiment = make_experiment("elmo", folder, **STEPS)
    for item in ("opt_state", "position"):
        run = copy_until(whole["elmo"], tmp_path / item, 2)
        shutil.rmtree(run / CHECKPOINTS / "2" / item)
        with pytest.raises(ValueError, match=rf"checkpoints/2 lacks {item}; remove it"):
            go_on(experiment, run)


def test_a_damaged_line_of_figures_is_named(folder, whole, tmp_path):
    run = copy_until(whole["elmo"], tmp_path / "run", 2)
    for old, new, text in (
        ("{", "7", "line 1 is not JSON.*"),
        ('"step"', '"stop"', "line 1 has no step"),
    ):
        shutil.copy(whole["elmo"] / METRICS, run / METRICS)
        edit(run / METRICS, old, new)
        refusal = rf"metrics\.jsonl, {text}.*remove the line"
        with pytest.raises(ValueError, match=refusal):
            go_on(make_experiment("elmo", folder, **STEPS), run)
        refusal = rf"metrics\.jsonl, {text}.*remove the line"
        with pytest.raises(ValueError, match=refusal):
            read_metrics(run, "train")
