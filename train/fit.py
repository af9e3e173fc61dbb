# SPDX-License-Identifier: Apache-2.0
"""The training loop of the downstream tasks, which keeps the best epoch.

Several seeds may be trained at once. Each leaf of the state then has a leading axis
`seeds`, as with `jax.vmap`, a score is an array `[seeds]`, and each seed keeps its own
best epoch.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from train.divergence import DivergedError
from train.loop.soundness import not_finite

Batch = TypeVar("Batch")

Metrics = Mapping[str, Any]
"""Held-out scores by name, each a number or an array `[seeds]`."""


class State(NamedTuple):
    """The training state.

    Attributes:
      params: the trained weights.
      opt_state: the state of the optimiser.
    """

    params: Any
    opt_state: Any


Step = Callable[[State, Batch, int], tuple[State, Any]]
"""Maps a state, a batch and the number of previous steps to the next state and the loss
(or None). A step may donate the state's buffers."""


class Epoch(NamedTuple):
    """One pass over the training examples.

    Attributes:
      loss: mean over its steps; None if the steps return none.
      metrics: held-out metrics after it.
      seconds: time of its steps, without the evaluation; the first include compilation.
    """

    loss: Any
    metrics: Metrics
    seconds: float


class Fitted(NamedTuple):
    """The result of training: the best epoch, or that of each seed.

    Attributes:
      params: the weights after it.
      score: its held-out score.
      epoch: its number, from 1.
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
      step: the training step.
      state: the initial state.
      epochs: the batches of each epoch; at least one epoch.
      evaluate: computes held-out metrics of weights.
      metric: the name of the score that selects the best epoch. Higher is better; NaN
        is never the best.
      patience: epochs without a better score of any seed before training ends; 0 for
        no early stopping.
      patience_above: patience begins once the score of any seed is above this.
      report: called with the number and the record of each epoch.

    Raises:
      ValueError: the score of a seed is NaN after every epoch.
      DivergedError: a loss or a weight is not finite; names it and the epoch.
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
        _check_sound(losses, state.params, number)
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


def _check_sound(losses: list[Any], params: Any, epoch: int) -> None:
    """Refuse an epoch with a loss, of any seed, or a weight that is not finite."""
    for step, loss in enumerate(jax.device_get(losses), start=1):
        for value in map(np.asarray, jax.tree.leaves(loss)):
            if not np.isfinite(value).all():
                bad = value[~np.isfinite(value)].flat[0]
                raise DivergedError(
                    f"the loss is {bad} at step {step} of epoch {epoch}"
                )
    name = not_finite(params)
    if name is not None:
        raise DivergedError(f"{name} is not finite after epoch {epoch}")


def best_labels(scores: Float[Array, "*B Y"]) -> Int[Array, "*B"]:
    """Return the label with the highest score; -1 where a score is no number."""
    is_finite = jnp.isfinite(scores).all(axis=-1)
    return jnp.where(is_finite, scores.argmax(axis=-1), -1)


def check_labels_found(labels: Int[np.ndarray, "*B"]) -> None:
    """Refuse labels of `best_labels` of which one has no score that is a number.

    Raises:
      DivergedError: there is one.
    """
    if labels.size and labels.min() < 0:
        raise DivergedError("the scores of the labels are not finite")


def _mean(losses: list[Any]) -> Any:
    """Return the mean loss of the steps, as Python numbers."""
    if not losses:
        return None
    return jax.tree.map(
        lambda *each: np.mean(each, axis=0).tolist(), *jax.device_get(losses)
    )


def _choose(better: Bool[np.ndarray, "*seeds"], new: Any, kept: Any) -> Any:
    """Return the new weights for the seeds that are better, else the kept ones.

    New weights are copied, since the next step may donate their buffers.
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
    """Build Adam with gradient clipping by global norm, without a learning rate.

    The learning rate is left out, so that runs with different rates share compiled
    programs.

    Args:
      max_gradient_norm: the gradient is clipped to this norm.
      adam: by default optax's, with its constants.
    """
    clip = optax.clip_by_global_norm(max_gradient_norm)
    return optax.chain(clip, adam or optax.scale_by_adam())


def descend(
    optimizer: optax.GradientTransformation, state: State, gradient: Any, rates: Any
) -> State:
    """Apply one step of an optimiser that has no learning rate of its own.

    Args:
      optimizer: such as `clipped_adam`.
      state: before the step.
      gradient: of the loss.
      rates: the learning rate; or a tree of them (a prefix of the weights' tree), with
        None for weights that are not changed.
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
