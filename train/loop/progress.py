# SPDX-License-Identifier: Apache-2.0
"""Training metrics, fetched one step late so that the device never waits."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from train.config import Pretraining
from train.data.epochs import InEpochs
from train.divergence import DivergedError
from train.loop.log import Clock, Interval, RunLog, duration
from train.objectives.objective import Means, Objective
from train.planning.hardware import peak_flops

EPOCH = "epoch"
"""In a checkpoint's position, where its epoch begins, counted from its phase's first
step; absent in those of earlier versions."""


class Progress:
    """Fetches a step's metrics during the next step, and logs them."""

    def __init__(
        self,
        experiment: Pretraining,
        log: RunLog,
        mesh: Mesh,
        interval: Mapping[str, Sequence[float]],
    ) -> None:
        """Start from the sums of an interval in a checkpoint."""
        self._every, self._num_steps = experiment.log_every, experiment.num_steps
        self._log = log
        self._peak = peak_flops(list(mesh.devices.flat))
        self._interval, self._clock = Interval(interval), Clock()
        self._pending: tuple[int, Means, float] | None = None

    def begin(self, objective: Objective, first: int) -> None:
        """Begin a phase with its objective, after `first` steps of the run."""
        self._clock = Clock()
        # Read once: BERT's makes a batch, whose plan is forgotten.
        self._tokens = objective.tokens_per_batch
        self._objective, self._first = objective, first

    def note(self, step: int, means: Means, rate: float) -> None:
        """Take a step's metrics, not yet computed, and log those of the last step."""
        self._settle(timed=True)
        self._pending = step, means, rate

    def settle(self) -> None:
        """Fetch and log the metrics of the last step.

        Raises:
          DivergedError: a metric is not finite; names it and the step.
        """
        self._settle(timed=False)

    def _settle(self, *, timed: bool) -> None:
        """Fetch and log the metrics of the last step.

        Args:
          timed: whether the next step has been given to the device since. Only between
            two such moments lies the time of a whole step, that of its batch included:
            without a next one, the last may have been done before the one before it
            was seen to be.
        """
        if self._pending is None:
            return
        step, means, rate = self._pending
        self._pending = None
        means = jax.device_get(means)
        for name, (total, _) in means.items():
            if not np.isfinite(total):
                # A step's metrics are of the weights before it.
                raise DivergedError(f"{name} is {total} at step {step}", step - 1)
        if timed:
            self._clock.tick()
        else:
            self._clock.pause()
        self._interval.add(means)
        if is_due(step, self._every):
            metrics = {**self._interval.take(), "learning_rate": rate}
            self._log.write(step, metrics, kind="train")
            self._say(step, metrics)

    def measured(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log held-out metrics."""
        self._log.write(step, metrics, kind="held_out")
        shown = ", ".join(_shown(name, value) for name, value in metrics.items())
        self._log.say(f"step {step}, held out: {shown}")

    def position(self, step: int) -> dict[str, Any]:
        """Return the data position and the metrics not yet logged, for a checkpoint."""
        position: dict[str, Any] = {"step": step, "interval": self._interval.sums}
        batches = self._objective.batches
        if isinstance(batches, InEpochs):
            found = batches.epochs.whereabouts(step - self._first)
            position[EPOCH] = {"phase": self._first, **found}
        return position

    def pause(self) -> None:
        """Leave the time until the next step is done out of the time of steps."""
        self._clock.pause()

    def _say(self, step: int, metrics: Mapping[str, float]) -> None:
        parts = [f"step {step} of {self._num_steps}"]
        parts += [
            _shown(name, value)
            for name, value in metrics.items()
            if name not in ("learning_rate", "gradient_norm")
        ]
        seconds = self._clock.seconds_a_step()
        if seconds:
            parts.append(f"{self._tokens / seconds:,.0f} tokens/s")
            if self._peak:
                used = self._objective.flops_per_batch / seconds / self._peak
                parts.append(f"{used:.0%} of peak")
            parts.append(f"{duration((self._num_steps - step) * seconds)} left")
        epochs = (step - self._first) / self._objective.epoch_steps
        parts.append(f"epoch {epochs:.2f}")
        self._log.say(" · ".join(parts))


def resume_epoch(
    batches: Any, step: int, phase_first: int, position: Mapping[str, Any]
) -> None:
    """Have batches begin at a checkpoint's epoch, and plan none before it.

    Args:
      batches: of a phase.
      step: the number of steps before the one that comes next.
      phase_first: the number of steps before the phase.
      position: of the checkpoint. Where it says nothing of an epoch of this phase,
        epochs are counted from the first one.
    """
    found = position.get(EPOCH)
    if isinstance(batches, InEpochs) and found and found["phase"] == phase_first:
        batches.epochs.resume(step - phase_first, found)


def is_due(step: int, every: int) -> bool:
    """Return whether a step is a multiple of `every`; False if `every` is 0."""
    return bool(every) and step % every == 0


def _shown(name: str, value: float) -> str:
    label = name.replace("_", " ")
    if name.endswith("accuracy"):
        return f"{label} {value:.1%}"
    if float(value).is_integer() and abs(value) >= 1000:
        return f"{label} {value:,.0f}"
    return f"{label} {value:.4g}" if math.isfinite(value) else f"{label} -"
