# SPDX-License-Identifier: Apache-2.0
"""What a run measures of itself is what `train.evaluate` measures of it."""

import contextlib
import dataclasses
import gc
import io
import itertools
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elmo_jax
import train.export
import train.families.bert.objective as bert_objective
import train.families.elmo.objective as elmo_objective
import train.pretrain
from embed_jax.files.run_directory import CHECKPOINTS
from tests.options.observed_run import Corpora, small
from tests.train.experiments import KINDS, make_experiment, one_device
from train.config import Pretraining, config_names
from train.evaluate import Command, evaluate, main
from train.families.bert.batches import MaskedLmConfig
from train.families.bert.config import LongPhase
from train.families.bert.held_out import HeldOutRows
from train.families.elmo.held_out import HeldOutWindows
from train.families.elmo.words import WordStore
from train.loop.log import read_metrics
from train.loop.sharding import training_mesh
from train.prepare import prepare
from train.pretrain import pretrain

STEPS: dict[str, Any] = {"num_steps": 2, "eval_every": 1, "save_every": 1}


@pytest.fixture
def one_device_measures(monkeypatch) -> None:
    """As the runs of these tests are trained."""
    monkeypatch.setattr("train.families.evaluation.jax.devices", first_devices(1))


def first_devices(number: int):
    found = jax.devices()[:number]
    return lambda *_: found


def make(kind: str, folder: Path, **changes: Any) -> Pretraining:
    """A run of two steps that measures itself after each."""
    return dataclasses.replace(make_experiment(kind, folder), **STEPS | changes)


def train_run(experiment: Pretraining, run: Path) -> Path:
    shutil.rmtree(run, ignore_errors=True)
    pretrain(experiment, run, mesh=one_device())
    return run


def measured(experiment: Pretraining, run: Path, **asked: Any) -> dict[str, float]:
    command = Command(model=run, data=experiment.data.directory, **asked)
    return evaluate(command)


def own_figures(run: Path, place: int = -1) -> dict[str, float]:
    """Return what a run wrote of its held-out text, last of all."""
    line = read_metrics(run, "held_out")[place]
    return {name: value for name, value in line.items() if name not in ("step", "kind")}


def make_phases(folder: Path, **changes: Any) -> Pretraining:
    """A BERT of two phases of unlike rows, measured after each of two steps."""
    rows = MaskedLmConfig(pairs="sop", length=16, short_rate=0.4, whole_words=True)
    longer = LongPhase(num_steps=1, length=32, batch_size=16)
    values = {"objective": rows, "long_phase": longer, "keep_last": 2}
    return make("bert", folder, **values | changes)


# As it was measured in training


def test_each_phase_is_measured_as_it_measured_itself(
    folder, tmp_path, one_device_measures
) -> None:
    experiment = make_phases(folder)
    run = train_run(experiment, tmp_path / "run")
    for step in (1, 2):
        assert measured(experiment, run, step=step) == own_figures(run, step - 1)
    assert measured(experiment, run) == own_figures(run)
    assert own_figures(run, 0) != own_figures(run)


@pytest.mark.parametrize("reset_state", [False, True])
def test_a_bilm_is_measured_in_its_own_windows(
    folder, tmp_path, one_device_measures, reset_state
) -> None:
    changes: dict[str, Any] = {"unroll_steps": 5, "batch_size": 6}
    experiment = make("elmo", folder, **changes, reset_state=reset_state)
    run = train_run(experiment, tmp_path / "run")
    assert measured(experiment, run) == own_figures(run)


ROWS = st.builds(
    MaskedLmConfig,
    pairs=st.sampled_from(["nsp", "sop", "none"]),
    length=st.integers(12, 32),
    masking_rate=st.sampled_from([0.05, 0.15, 0.4]),
    whole_words=st.booleans(),
    short_rate=st.sampled_from([0.0, 0.1, 0.7]),
    packed=st.booleans(),
    max_instances=st.integers(1, 5),
)
OF_BOTH = {
    "batch_size": st.integers(1, 12),
    "eval_batches": st.sampled_from([None, 1, 3]),
    "dtype": st.sampled_from(["auto", "bfloat16"]),
    "seed": st.integers(0, 9),
}
OPTIONS = {
    "bert": st.fixed_dictionaries(
        OF_BOTH
        | {
            "objective": ROWS,
            "remat": st.sampled_from(["none", "elementwise", "blocks"]),
            "long_phase": st.none()
            | st.builds(
                LongPhase,
                num_steps=st.just(1),
                length=st.integers(12, 32),
                batch_size=st.integers(1, 12),
            ),
        }
    ),
    "elmo": st.fixed_dictionaries(
        OF_BOTH
        | {
            "unroll_steps": st.integers(1, 9),
            "num_negatives": st.sampled_from([0, 12]),
            "reset_state": st.booleans(),
            "remat": st.sampled_from(["none", "blocks"]),
        }
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_the_options_a_run_is_measured_as_in_training(
    kind, folder, tmp_path, one_device_measures, data
) -> None:
    options = data.draw(OPTIONS[kind])
    experiment = make(kind, folder, **options)
    run = train_run(experiment, tmp_path / "run")
    assert measured(experiment, run) == own_figures(run)


# Made small by the same arguments.
LIKE = dict.fromkeys(("bert_mini", "bert_small", "bert_large"), "bert_base")
LIKE |= dict.fromkeys(("elmo_small", "elmo_medium"), "elmo_original")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Corpora:
    return Corpora(tmp_path_factory.mktemp("shipped"))


def call(command: Any, *line: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert command(list(line)) == 0
    return said.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("config", config_names())
def test_a_shipped_configuration_is_measured_as_in_training(
    corpora, config, monkeypatch, one_device_measures
) -> None:
    like = LIKE.get(config, config)
    monkeypatch.chdir(corpora.directory_for(like))
    monkeypatch.setattr(train.pretrain, "training_mesh", lambda _: one_device())
    call(train.pretrain.main, config, "--workdir", "run", *small(like))
    said = call(main, "run", "--data", "text")
    assert json.loads(said) == own_figures(Path("run"))


# Otherwise than it was


def test_what_is_asked_for_is_what_is_measured(
    folder, tmp_path, one_device_measures
) -> None:
    experiment = make_phases(folder, eval_batches=1)
    run = train_run(experiment, tmp_path / "run")
    trained = measured(experiment, run)
    shorter = measured(experiment, run, length=16)
    assert shorter != trained
    everything = measured(experiment, run, batches=0)
    assert everything["held_out_predictions"] > trained["held_out_predictions"]
    rows = measured(experiment, run, batches=8, batch_size=2)
    assert rows == pytest.approx(trained, rel=1e-6)
    assert "pair_loss" not in measured(experiment, run, pairs="none")
    with pytest.raises(ValueError, match=r"length 33 is above model\.max_positions 32"):
        measured(experiment, run, length=33)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        measured(experiment, run, batch_size=0)


def test_a_step_of_a_model_is_refused(folder, tmp_path) -> None:
    experiment = make_experiment("elmo", folder, num_steps=1, eval_every=0)
    run = train_run(experiment, tmp_path / "run")
    train.export.main([str(run), str(tmp_path / "model")])
    with pytest.raises(ValueError, match="step 1 is of a training run"):
        measured(experiment, tmp_path / "model", step=1)


def test_a_run_without_a_checkpoint_is_refused(folder, tmp_path) -> None:
    experiment = make_experiment("elmo", folder, num_steps=1, eval_every=0)
    run = train_run(experiment, tmp_path / "run")
    shutil.rmtree(run / CHECKPOINTS)
    with pytest.raises(ValueError, match="holds no checkpoint yet"):
        measured(experiment, run)


def test_a_run_of_a_class_of_the_users_own_is_measured_as_the_familys(
    folder, tmp_path, one_device_measures, caplog
) -> None:
    experiment = make("elmo", folder)
    run = train_run(experiment, tmp_path / "run")
    written = json.loads((run / "experiment.json").read_text())
    written |= {"type": "MyPretraining", "my_field": 3}
    (run / "experiment.json").write_text(json.dumps(written))
    (run / "checksums.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert measured(experiment, run) == own_figures(run)
    assert "class MyPretraining, which is not known here" in caplog.text


# What is served, and of whose words


def exported(kind: str, experiment: Pretraining, path: Path) -> Path:
    run = train_run(experiment, path / "run")
    assert train.export.main([str(run), str(path / "model")]) == 0
    return path / "model"


def test_a_model_with_an_initial_state_is_measured_as_it_is_served(
    folder, tmp_path, one_device_measures
) -> None:
    experiment = make("elmo", folder, reset_state=True)
    model = exported("elmo", experiment, tmp_path)
    params, tokenizer = elmo_jax.load(model)
    # As trained for long: of so few steps nothing depends on the state.
    params = jax.tree.map(lambda leaf: 4 * leaf, params)
    warm = elmo_jax.warm_start(params, tokenizer, ["the cat sees a house ."] * 3)
    store = WordStore.open(experiment.data.directory / "held_out")
    bounds = list(map(int, store.sentence_starts))
    sentences = [
        [store.types[index] for index in store.tokens[begin:end]]
        for begin, end in itertools.pairwise(bounds)
    ]
    found = []
    for number, served in enumerate((params, warm)):
        path = tmp_path / str(number)
        elmo_jax.save(path, served, tokenizer)
        scores = elmo_jax.score_sentences(served, tokenizer, sentences)
        expected = elmo_jax.perplexity(scores)
        figures = measured(experiment, path)
        assert figures["held_out_words"] == expected.num_tokens
        for way in ("forward", "backward"):
            found.append(figures[f"{way}_perplexity"])
            assert found[-1] == pytest.approx(getattr(expected, way), rel=1e-5)
    assert found[:2] != pytest.approx(found[2:], rel=1e-3)
    carried = [measured(experiment, tmp_path / n, reset_state=False) for n in "01"]
    assert carried[0] != carried[1]


def test_text_of_longer_words_than_a_model_reads_is_refused(folder, tmp_path) -> None:
    experiment = make("elmo", folder)
    model = exported("elmo", experiment, tmp_path)
    other = dataclasses.replace(
        experiment.data, directory=tmp_path / "data", max_characters=9
    )
    prepare(other, lambda line: None)
    for subject in (model, tmp_path / "run"):
        with pytest.raises(ValueError, match=r"9 characters, and .* reads 12; prepare"):
            evaluate(Command(model=subject, data=other.directory))
    again = dataclasses.replace(experiment, data=other, init_from=model)
    for wrong in (again, dataclasses.replace(again, init_from=None)):
        with pytest.raises(ValueError, match=r"max_characters 12 is not the data\.max"):
            pretrain(wrong, tmp_path / "again", mesh=one_device())
    narrow = dataclasses.replace(experiment.model.char_cnn, max_characters=9)
    narrow = dataclasses.replace(experiment.model, char_cnn=narrow)
    with pytest.raises(
        ValueError, match="another shape than the run's model: char_cnn"
    ):
        pretrain(
            dataclasses.replace(again, model=narrow),
            tmp_path / "again",
            mesh=one_device(),
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_of_another_order_is_refused(kind, folder, tmp_path) -> None:
    experiment = make(kind, folder)
    model = exported(kind, experiment, tmp_path)
    held = experiment.data.directory
    given = {"elmo": "vocab.txt", "bert": "tokenizer/vocab.txt"}[kind]
    words = [
        line.partition("\t")[0] for line in (held / given).read_text().splitlines()
    ]
    (tmp_path / "given").mkdir()
    # The specials of both come first.
    turned = "\n".join([*words[:5], *words[:4:-1]]) + "\n"
    (tmp_path / "given/vocab.txt").write_text(turned)
    option = {
        "elmo": {"vocabulary": tmp_path / "given/vocab.txt"},
        "bert": {"tokenizer": tmp_path / "given"},
    }[kind]
    data = tmp_path / "data"
    prepare(
        dataclasses.replace(experiment.data, directory=data, **option),
        lambda line: None,
    )
    for subject in (model, tmp_path / "run"):
        with pytest.raises(ValueError, match=r"prepared with (another|other) "):
            evaluate(Command(model=subject, data=data))


# In one process


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_kept_of_a_call_and_nothing_compiled_twice(
    kind, folder, tmp_path, one_device_measures, monkeypatch
) -> None:
    """Rows of a length of their own, so that no test before has compiled them."""
    changes: dict[str, Any] = {"unroll_steps": 4}
    if kind == "bert":
        changes = {"objective": MaskedLmConfig(length=19)}
    experiment = make(kind, folder, eval_every=0, **changes)
    run = train_run(experiment, tmp_path / "run")
    module = {"elmo": elmo_objective, "bert": bert_objective}[kind]
    gathered, traced = module.gather_rows, []

    def noted(*arguments: Any) -> Any:
        traced.append(arguments[0].shape)
        return gathered(*arguments)

    def kept() -> int:
        gc.collect()
        kinds = {HeldOutRows, HeldOutWindows}
        return sum(type(each) in kinds for each in gc.get_objects())

    monkeypatch.setattr(module, "gather_rows", noted)
    before = kept()
    first = measured(experiment, run)
    assert traced
    traced.clear()
    assert measured(experiment, run) == first
    assert not traced
    assert kept() == before


# Whatever the batch


def check_alike(experiment: Pretraining, run: Path, batches, devices, patch) -> None:
    expected = measured(experiment, run)
    for number in devices:
        patch.setattr("train.families.evaluation.jax.devices", first_devices(number))
        for batch_size in batches:
            figures = measured(experiment, run, batch_size=batch_size)
            assert figures == pytest.approx(expected, rel=1e-6), (number, batch_size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eval_batches", [None, 3])
def test_no_figure_depends_on_the_rows_of_a_batch(
    kind, folder, tmp_path, monkeypatch, one_device_measures, eval_batches
) -> None:
    changes = {"elmo": {"reset_state": True}, "bert": {}}[kind]
    experiment = make(kind, folder, eval_batches=eval_batches, **changes)
    run = train_run(experiment, tmp_path / "run")
    check_alike(experiment, run, (7, 64), (1,), monkeypatch)
    check_alike(experiment, run, (64,), (4,), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eval_batches", [None, 2])
def test_no_figure_depends_on_batch_and_devices_in_any_phase(
    kind, folder, tmp_path, monkeypatch, one_device_measures, eval_batches
) -> None:
    if kind == "bert":
        experiment = make_phases(folder, eval_batches=eval_batches)
    else:
        experiment = make(kind, folder, reset_state=True, eval_batches=eval_batches)
    run = train_run(experiment, tmp_path / "run")
    for step in (1, 2):
        expected = measured(experiment, run, step=step)
        for number in (1, 4, 8):
            devices = first_devices(number)
            monkeypatch.setattr("train.families.evaluation.jax.devices", devices)
            for batch_size in (1, 7, 64, 200):
                asked = {"step": step, "batch_size": batch_size}
                figures = measured(experiment, run, **asked)
                assert figures == pytest.approx(expected, rel=1e-6), (number, asked)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_measures_the_same_on_any_devices(kind, folder, tmp_path) -> None:
    """Untrained weights, since training on more devices rounds otherwise."""
    found = []
    for number in (1, 4, 8):
        changes = {"elmo": {}, "bert": {"warmup_steps": 0}}[kind]
        optimizer = make_experiment(kind, folder).optimizer
        still = dataclasses.replace(optimizer, learning_rate=1e-12, **changes)
        experiment = make(kind, folder, num_steps=1, optimizer=still)
        mesh = training_mesh(devices=jax.devices()[:number])
        pretrain(experiment, tmp_path / str(number), mesh=mesh)
        found.append(own_figures(tmp_path / str(number)))
    assert found[1] == pytest.approx(found[0], rel=1e-6)
    assert found[2] == pytest.approx(found[0], rel=1e-6)
