# SPDX-License-Identifier: Apache-2.0
"""Command-line options for evaluation on held-out text."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import jax
from jax.sharding import Mesh
from tqdm import tqdm
from tyro.conf import DisallowNone

from embed_jax.checks import check_at_least, check_fields
from embed_jax.files.run_directory import is_run, refuse_step, saved_steps
from train.called import called
from train.config import Pretraining
from train.loop.sharding import training_mesh
from train.recorded import recorded

# Rows of a batch of a model, of which nothing is recorded.
BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Options of an evaluation; a family refuses those of another.

    What is not given is as a run was measured in training, in the phase that it was in;
    for a model, as said below.
    """

    part: str = "held_out"
    """Part of the text: held_out or train."""
    step: int | None = None
    """For a run, the step of the checkpoint; by default the latest."""
    batch_size: int | None = None
    """Rows of a batch, 64 of a model. Changes nothing but time and memory, unless an
    ELMo carries its state."""
    batches: int | None = None
    """Maximal number of batches, 0 for all. By default all of them for a model, and for
    a run as much text as it measured itself, whatever the batch_size is here."""
    reset_state: DisallowNone[bool | None] = None
    """ELMo: whether sentences start from the initial state, as in embedding, or from
    the final state of the previous one. Of a model, they do."""
    length: int | None = None
    """BERT: tokens of a row, of a model 128, or as many as it takes."""
    pairs: Literal["nsp", "sop", "none"] | None = None
    """BERT: the kind of pairs to evaluate, of a model none."""
    packed: DisallowNone[bool | None] = None
    """BERT: whether rows hold several texts, of a model not."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: a number out of its range; names the field.
        """
        check_fields(self)
        check_at_least(self, 0, "step", "batches")
        check_at_least(self, 1, "batch_size")
        check_at_least(self, 8, "length")

    def refuse(self, *names: str, of: str) -> None:
        """Refuse options of another kind of model.

        Args:
          names: of the options.
          of: the kind of model that they are of.

        Raises:
          ValueError: one is given; names it.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is of {of}; leave it out")

    def changed(self, *names: str) -> dict[str, Any]:
        """Return those of some options that are given."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


class Subject(NamedTuple):
    """A model that is evaluated.

    Attributes:
      params: the weights, with their heads.
      tokenizer: of the model.
      experiment: for a run, its configuration in the phase of the step; else None.
    """

    params: Any
    tokenizer: Any
    experiment: Any


Experiment = TypeVar("Experiment", bound=Pretraining)


def load_subject(
    model: Path,
    step: int | None,
    kind: type[Pretraining],
    load: Callable[[Path], tuple[Any, Any]],
    load_run: Callable[..., tuple[Any, Any]],
) -> Subject:
    """Load a model, or a run and how it was measured at a step.

    Args:
      model: a run, or a model in its published form.
      step: of a run; by default the latest.
      kind: the class of the family's experiments.
      load: loads a model in its published form.
      load_run: loads a run, see `Family`.

    Raises:
      ValueError: there is no such model or step, or a file is damaged.
    """
    if not is_run(model):
        refuse_step(model, step)
        return Subject(*load(model), None)
    experiment = recorded(
        model, otherwise=kind, remedy=f"{called('export')} makes a model of it"
    )
    while True:
        steps = saved_steps(model)
        chosen = steps[-1] if step is None and steps else step
        try:
            params, tokenizer = load_run(model, encoder_only=False, step=chosen)
        except ValueError:
            if chosen != step and chosen not in saved_steps(model):
                continue  # the run goes on, and removed it for a later one
            raise
        assert chosen is not None, "load_run refuses a run without a checkpoint"
        return Subject(params, tokenizer, phase_of(experiment, chosen))


def phase_of(experiment: Pretraining, step: int) -> Pretraining:
    """Return the configuration of the phase that made a step, and measured it."""
    phases = experiment.phases()
    made = (phase.experiment for phase in phases if step <= phase.last)
    return next(made, phases[-1].experiment)


def with_batches(experiment: Experiment, asked: Evaluation) -> Experiment:
    """Return a configuration with the number of batches that is asked for.

    Its `eval_batches` are of its own `batch_size`, which may be another than that of
    the batches that are computed.
    """
    if asked.batches is None:
        return experiment
    return with_batch_size(
        dataclasses.replace(experiment, eval_batches=asked.batches or None),
        asked.batch_size or experiment.batch_size,
    )


def with_batch_size(experiment: Experiment, batch_size: int) -> Experiment:
    """Return a configuration with another batch size, which is not divided further."""
    return dataclasses.replace(experiment, batch_size=batch_size, grad_accum_steps=1)


def evaluation_mesh(batch_size: int) -> Mesh:
    """Return all devices, as in training; one, if they do not divide the rows."""
    devices = jax.devices()
    return training_mesh(
        devices=devices if batch_size % len(devices) == 0 else devices[:1]
    )


def shown(batches: range) -> Iterator[int]:
    """Yield the numbers of batches, with a progress bar on standard error."""
    return iter(tqdm(batches, desc="evaluating", unit=" batches"))
