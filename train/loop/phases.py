# SPDX-License-Identifier: Apache-2.0
"""Runs in phases, such as short rows first and longer ones for the last steps."""

import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from train.config import Pretraining
from train.loop.optimizer import Schedule, schedule_of, transformation_of


def check_shared(experiment: Pretraining, mesh: Mesh, place: str = "") -> None:
    """Check that a batch can be divided among the devices.

    Args:
      experiment: of one phase.
      mesh: the devices.
      place: what stands before the names of the phase's fields, for the message.

    Raises:
      ValueError: names the number that the batch size must be a multiple of.
    """
    if experiment.batch_size % (mesh.size * experiment.grad_accum_steps):
        raise ValueError(
            f"{place}batch_size {experiment.batch_size} is not a multiple of "
            f"{mesh.size} devices times {place}grad_accum_steps "
            f"{experiment.grad_accum_steps}"
        )


def make_phased_optimizer(
    experiment: Pretraining,
) -> tuple[optax.GradientTransformation, Schedule]:
    """Build the optimiser of a run, whose state is kept from phase to phase.

    Returns:
      The optimiser, and the schedule of its learning rate over the whole run.

    Raises:
      ValueError: a warm-up that is longer than its steps.
    """
    schedule = _schedule(experiment)
    return transformation_of(experiment.optimizer, schedule), schedule


def _schedule(experiment: Pretraining) -> Schedule:
    """Join the schedules of the phases."""
    first, *others = experiment.phases()
    spans = [(first.first, first.last, first.schedule or experiment.optimizer)]
    for phase in others:
        if phase.schedule is None:
            begin, _, config = spans.pop()
            spans.append((begin, phase.last, config))
        else:
            spans.append((phase.first, phase.last, phase.schedule))
    begins = [begin for begin, _, _ in spans]
    schedules = [schedule_of(config, end - begin) for begin, end, config in spans]
    if len(schedules) == 1:
        return schedules[0]

    def rate(step: jnp.ndarray | int) -> jnp.ndarray:
        value = schedules[0](step)
        for begin, schedule in zip(begins[1:], schedules[1:], strict=True):
            own = schedule(step - begin)
            value = jnp.where(jnp.asarray(step) < begin, value, own)
        return value

    return rate
