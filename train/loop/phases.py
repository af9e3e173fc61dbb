# SPDX-License-Identifier: Apache-2.0
"""A run in phases: short rows first, longer ones for the last steps."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from train.config import Experiment, MaskedLmPretraining
from train.loop.optimizer import Adagrad, Schedule, schedule_of, transformation_of


class Phase(NamedTuple):
    """Steps that are alike.

    Attributes:
      first: steps that are made before it.
      last: steps that are made when it ends.
      experiment: the configuration as if all of the run were like it.
    """

    first: int
    last: int
    experiment: Experiment


def phases_of(experiment: Experiment) -> list[Phase]:
    """Divide a run; one that has no longer rows is one phase."""
    steps = experiment.num_steps
    if not isinstance(experiment, MaskedLmPretraining) or not experiment.longer_rows:
        return [Phase(0, steps, experiment)]
    longer = experiment.longer_rows
    short = dataclasses.replace(experiment, longer_rows=None)
    long = dataclasses.replace(
        short,
        batch_size=longer.batch_size,
        num_parts=longer.num_parts,
        objective=dataclasses.replace(experiment.objective, length=longer.length),
    )
    middle = steps - longer.num_steps
    return [Phase(0, middle, short), Phase(middle, steps, long)]


def check_shared(experiment: Experiment, mesh: Mesh) -> None:
    """Refuse a batch that the devices cannot share.

    Args:
      experiment: of one phase.
      mesh: the devices.

    Raises:
      ValueError: says what the batch must be a multiple of.
    """
    if experiment.batch_size % (mesh.size * experiment.num_parts):
        raise ValueError(
            f"batch_size {experiment.batch_size} is not a multiple of {mesh.size} "
            f"devices times num_parts {experiment.num_parts}"
        )


def make_phased_optimizer(
    experiment: Experiment,
) -> tuple[optax.GradientTransformation, Schedule]:
    """Build the optimiser of a run, whose memory goes on from phase to phase.

    Returns:
      It, and the schedule of its learning rate over all of the run.

    Raises:
      ValueError: a warm-up that is longer than its steps.
    """
    schedule = _schedule(experiment)
    return transformation_of(experiment.optimizer, schedule), schedule


def _schedule(experiment: Experiment) -> Schedule:
    config, phases = experiment.optimizer, phases_of(experiment)
    longer = getattr(experiment, "longer_rows", None)
    if len(phases) == 1 or longer is None or longer.learning_rate is None:
        return schedule_of(config, experiment.num_steps)
    assert not isinstance(config, Adagrad), "refused by the configuration"
    middle = phases[0].last
    before = schedule_of(config, middle)
    own = dataclasses.replace(
        config, learning_rate=longer.learning_rate, warmup_steps=longer.warmup_steps
    )
    after = schedule_of(own, longer.num_steps)

    def rate(step: jnp.ndarray | int) -> jnp.ndarray:
        return jnp.where(jnp.asarray(step) < middle, before(step), after(step - middle))

    return rate
