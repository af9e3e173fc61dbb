# SPDX-License-Identifier: Apache-2.0
"""Training whose learning rate leaps up at one step, and all that is wrong then.

`benchmarks/spikes.py` has every step of a run leap; tests take a few.
"""

import contextlib
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from embed_jax.files.finite import check_finite
from embed_jax.files.run_directory import read_weights, saved_steps
from embed_jax.tree import name_leaves
from tests.train import quick_models
from tests.train.experiments import KINDS, make_experiment
from tests.train.tasks.finetuning_data import (
    labelled,
    tagged,
    write_labelled,
    write_tagged,
)
from train import pretrain
from train.config import Pretraining
from train.loop.log import METRICS
from train.loop.optimizer import transformation_of
from train.loop.phases import make_phased_optimizer
from train.tasks.finetune import finetuning

NUM_STEPS, LEAP = 20, 1e30


FINETUNED = tuple((kind, task) for kind in KINDS for task in ("ner", "polarity"))
"""Families and tasks of fine-tuning; the options of each have `NUM_STEPS` steps."""


def write_config(folder: Path, kind: str, num_steps: int = NUM_STEPS) -> Path:
    """Write a file with a configuration of prepared data, which saves each step."""
    path = folder / f"{kind}_{num_steps}_steps.py"
    changes = f"num_steps={num_steps}, save_every=1, eval_every=1"
    name = type(make_experiment(kind, folder)).__name__
    module = type(make_experiment(kind, folder)).__module__
    path.write_text(
        "from pathlib import Path\n"
        "from tests.train.experiments import make_experiment\n"
        f"from {module} import {name}\n\n\n"
        f"def config() -> {name}:\n"
        f"    return make_experiment({kind!r}, Path({str(folder)!r}), {changes})\n"
    )
    return path


def make_finetuning(folder: Path, kind: str, task: str) -> list[object]:
    """Write a model and data; return the arguments of a fine-tuning of 20 steps."""
    model, data = folder / f"{kind}-model", folder / f"{task}-data"
    if not model.exists():
        {"bert": quick_models.save_bert, "elmo": quick_models.save_elmo}[kind](model)
    if not data.exists():
        data.mkdir()
        for seed, split in enumerate(("train", "dev", "test")):
            if task == "ner":
                write_tagged(data / f"{split}.conll", tagged(16, seed))
            else:
                write_labelled(data / f"{split}.tsv", labelled(16, seed))
    name = f"finetune_{'elmo_' if kind == 'elmo' else ''}{task}"
    options = "--batch-size 8 --num-epochs 10 --patience 0 --max-length 16".split()
    return [name, "--model", model, "--data", data, *options]


def strict(text: str) -> Any:
    """Parse JSON as others do, who know no NaN."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def say(main: Callable[[list[str]], int], given: Sequence[object]) -> tuple[int, str]:
    """Run a command in this process; return its status and standard error."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = main([str(each) for each in given])
    return status, said.getvalue()


@contextlib.contextmanager
def pretraining_leaps(step: int, rate: float) -> Iterator[None]:
    """Have a pretraining make one step with another learning rate."""

    def make(experiment: Pretraining) -> Any:
        _, schedule = make_phased_optimizer(experiment)

        def leaping(done: Any) -> Any:
            return jnp.where(jnp.asarray(done) == step - 1, rate, schedule(done))

        return transformation_of(experiment.optimizer, leaping), leaping

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "make_phased_optimizer", make)
        yield


@contextlib.contextmanager
def finetuning_leaps(step: int, rate: float) -> Iterator[None]:
    """Have a fine-tuning make one step with another learning rate."""
    rates_of = finetuning.learning_rates

    def rates(config: Any, num_steps: int) -> dict[str, np.ndarray]:
        return {
            branch: np.where(np.arange(num_steps) == step - 1, rate, rates).astype(
                np.float32
            )
            for branch, rates in rates_of(config, num_steps).items()
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetuning, "learning_rates", rates)
        yield


def faults_of_run(run: Path) -> list[str]:
    """Return what is wrong with what a run has kept."""
    faults = []
    for step in saved_steps(run):
        weights, _ = read_weights(run, step)
        for name, leaf in name_leaves(weights).items():
            try:
                check_finite(leaf, name, f"step {step}")
            except ValueError as error:
                faults.append(str(error))
    for line in (run / METRICS).read_text().splitlines():
        strict(line)
    return faults


def leap_in_pretraining(
    config: Path, run: Path, step: int, *given: str, num_steps: int = NUM_STEPS
) -> list[str]:
    """Leap at a step of a run, follow the advice, and return what is wrong.

    Args:
      config: a file with a configuration that saves each step.
      run: the directory of the run, which is new.
      step: the step that leaps.
      given: further options.
      num_steps: of the configuration.
    """
    command = [config, "--workdir", run, *given]
    with pretraining_leaps(step, LEAP):
        status, said = say(pretrain.main, command)
    faults = faults_of_run(run)
    kept = saved_steps(run)
    if status == 0:
        # A leap that the weights survive, or that nothing measures after the last step.
        return [
            *faults,
            *(["ends at another step"] if kept[-1:] != [num_steps] else []),
        ]
    line = said.splitlines()[-1]
    if status != 2 or "Traceback" in said or not line.startswith("train.pretrain: "):
        faults.append(f"status {status}: {said[-500:]}")
    named = re.search(r"the checkpoint of step (\d+) is the last sound one", line)
    if named:
        if [int(named[1])] != kept[-1:]:
            faults.append(f"{named[1]} is named, and {kept} are kept")
        advised = shlex.split(line.rpartition("train.pretrain ")[2])
    else:
        again = re.search(r"the same command with (.*)", line)
        if again is None or kept:
            return [*faults, f"no advice, {kept} are kept: {line}"]
        advised = [*map(str, command), *shlex.split(again[1])]
    status, said = say(pretrain.main, advised)
    if status:
        faults.append(f"following {advised}: status {status}: {said[-500:]}")
    new = Path(advised[len(advised) - 1 - advised[::-1].index("--workdir") + 1])
    if saved_steps(new)[-1:] != [num_steps]:
        faults.append(f"{new} has {saved_steps(new)}")
    return faults + faults_of_run(new)


def leap_in_finetuning(
    main: Callable[[list[str]], int], given: Sequence[object], output: Path, step: int
) -> list[str]:
    """Leap at a step of a fine-tuning, follow the advice, and return what is wrong.

    Args:
      main: of the command.
      given: its arguments, but for the output.
      output: its output, which is new.
      step: the step that leaps.
    """
    command = [*given, "--output", output]
    with finetuning_leaps(step, LEAP):
        status, said = say(main, command)
    faults = []
    if status:
        line = said.splitlines()[-1]
        if status != 2 or "Traceback" in said or output.exists():
            faults.append(f"status {status}: {said[-500:]}")
        advised = re.search(r"Give a lower learning rate, such as (.*)", line)
        if advised is None:
            return [*faults, f"no advice: {line}"]
        status, said = say(main, [*command, *shlex.split(advised[1])])
        if status:
            faults.append(f"following {advised[0]}: status {status}: {said[-500:]}")
    record = strict((output / "results.json").read_text())
    if not all(np.isfinite(epoch["loss"]) for epoch in record["epochs"]):
        faults.append(f"losses {[epoch['loss'] for epoch in record['epochs']]}")
    return faults
