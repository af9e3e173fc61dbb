# SPDX-License-Identifier: Apache-2.0
"""Train to the best held-out score: the loop over epochs of the downstream tasks.

Several seeds may be trained at once. Each leaf of the state then has a leading axis
`seeds`, as `jax.vmap` gives it, a score is an array `[seeds]`, and each seed keeps an
epoch of its own.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

Batch = TypeVar("Batch")

Metrics = Mapping[str, Any]
"""Held-out scores by name, each a number or an array `[seeds]`."""


class State(NamedTuple):
    """What a step changes.

    Attributes:
      params: the weights that are learnt.
      opt_state: the optimiser's.
    """

    params: Any
    opt_state: Any


Step = Callable[[State, Batch, int], tuple[State, Any]]
"""From a state, a batch and the number of steps before it to the next state and the
loss, or None in the place of the loss. A step may donate the state that it is given."""


class Epoch(NamedTuple):
    """One pass over the training examples.

    Attributes:
      loss: mean over its steps; None where they give none.
      metrics: held-out, after it.
      seconds: that its steps took, without the evaluation; the first ones compile.
    """

    loss: Any
    metrics: Metrics
    seconds: float


class Fitted(NamedTuple):
    """What training gave: the best epoch, of each seed where there are several.

    Attributes:
      params: the weights after it.
      score: its held-out score.
      epoch: which it is, from 1.
      history: all epochs.
    """

    params: Any
    score: Float[np.ndarray, "*seeds"]
    epoch: Int[np.ndarray, "*seeds"]
    history: list[Epoch]


def fit(
    step: Step[Batch],
    state: State,
    epochs: Iterable[Iterable[Batch]],
    *,
    evaluate: Callable[[Any], Metrics],
    metric: str,
    patience: int = 0,
    patience_above: float = -math.inf,
    report: Callable[[int, Epoch], None] | None = None,
) -> Fitted:
    """Train, and keep the weights of the best epoch; of equal ones the first.

    Args:
      step: changes the state.
      state: the first one.
      epochs: the batches of each epoch; at least one epoch.
      evaluate: measures weights on held-out examples.
      metric: the name of the score by which epochs are compared. A higher one is
        better, NaN never is.
      patience: epochs without a better score of any seed before training ends;
        0, never.
      patience_above: patience begins once the score of any seed is above this.
      report: is given the number and the record of each epoch.

    Raises:
      ValueError: the score of a seed is NaN after every epoch.
    """
    num_steps = 0
    kept: Any = None
    best, best_epoch = np.array(-math.inf), np.array(0)
    history: list[Epoch] = []
    for number, batches in enumerate(epochs, start=1):
        began = time.perf_counter()
        losses = []
        for batch in batches:
            state, loss = step(state, batch, num_steps)
            losses.append(loss)
            num_steps += 1
        jax.block_until_ready(state)
        seconds = time.perf_counter() - began
        epoch = Epoch(_mean(losses), evaluate(state.params), seconds)
        history.append(epoch)
        if report:
            report(number, epoch)
        score = np.asarray(epoch.metrics[metric], np.float64)
        better = np.asarray(score > best)
        kept = _choose(better, state.params, kept)
        best = np.where(better, score, best)
        best_epoch = np.where(better, number, best_epoch)
        waited = number - best_epoch.max()
        if patience and waited >= patience and best.max() > patience_above:
            break
    if not best_epoch.all():
        raise ValueError(
            f"the held-out {metric} is NaN after every epoch; lower the learning rate"
        )
    return Fitted(kept, best, best_epoch, history)


def _mean(losses: list[Any]) -> Any:
    """Return the mean of what the steps gave, as numbers of Python."""
    if not losses:
        return None
    return jax.tree.map(
        lambda *each: np.mean(each, axis=0).tolist(), *jax.device_get(losses)
    )


def _choose(better: Bool[np.ndarray, "*seeds"], new: Any, kept: Any) -> Any:
    """Return the new weights of the seeds that are better, and the kept ones else.

    What is new is copied: the next step may take its memory.
    """
    if kept is None or better.all():
        return jax.tree.map(jnp.copy, new)
    if not better.any():
        return kept
    return jax.tree.map(
        lambda one, other: jnp.where(
            better.reshape(-1, *[1] * (one.ndim - 1)), one, other
        ),
        new,
        kept,
    )


def clipped_adam(
    max_gradient_norm: float, adam: optax.GradientTransformation | None = None
) -> optax.GradientTransformation:
    """Build what gives the direction of a step: a shortened gradient, then Adam.

    The learning rate is not in it, so that runs of other rates share their programs.

    Args:
      max_gradient_norm: a longer gradient is shortened to this.
      adam: by default optax's own, with its constants.
    """
    clip = optax.clip_by_global_norm(max_gradient_norm)
    return optax.chain(clip, adam or optax.scale_by_adam())


def descend(
    optimizer: optax.GradientTransformation, state: State, gradient: Any, rates: Any
) -> State:
    """Make a step along the direction that an optimiser gives.

    Args:
      optimizer: such as `clipped_adam`.
      state: before the step.
      gradient: of the loss.
      rates: the learning rate; or a tree of them, each for all weights below its
        place, None for weights that stay.
    """
    direction, opt_state = optimizer.update(gradient, state.opt_state, state.params)

    def move(rate: Any, leaves: Any, along: Any) -> Any:
        if rate is None:
            return leaves
        return jax.tree.map(lambda leaf, way: leaf - rate * way, leaves, along)

    params = jax.tree.map(
        move, rates, state.params, direction, is_leaf=lambda rate: rate is None
    )
    return State(params, opt_state)
