# SPDX-License-Identifier: Apache-2.0
"""The published optimisers, built from optax's parts."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

# Leaves that are not pulled towards zero: biases and the scales of normalisations.
UNDECAYED = ("bias", "scale")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adagrad:
    """The optimiser of the published biLMs (bilm-tf).

    Attributes:
      learning_rate: constant.
      initial_accumulator: what the sum of squares starts from; no epsilon.
      loss_factor: the gradient is that of the loss times this, before it is clipped.
        bilm-tf takes the length of its windows, 20. As the accumulator starts at 1 and
        not at 0, this is not the same as no factor.
      max_norm: of the whole gradient; it is shortened to this.
      decays: whether the learning rate falls linearly to zero; not published.
    """

    sparse_update: ClassVar[bool] = True
    """What has no gradient stays as it is, and what is remembered of it too."""

    learning_rate: float = 0.2
    initial_accumulator: float = 1.0
    loss_factor: float = 20.0
    max_norm: float = 10.0
    decays: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertAdam:
    """The optimiser of BERT (Devlin et al. 2019, appendix A.2).

    Attributes:
      learning_rate: the highest.
      warmup_steps: until the learning rate has risen from zero to there. It then falls
        linearly to zero, on the line that begins at step 0.
      beta1: of the mean of gradients.
      beta2: of the mean of squares.
      epsilon: added to the root.
      weight_decay: times the learning rate, of all but biases and normalisations.
      max_norm: of the whole gradient; it is shortened to this.
      corrects_bias: whether the means are corrected for starting from zero; BERT's
        published program does not.
    """

    sparse_update: ClassVar[bool] = False

    learning_rate: float = 1e-4
    warmup_steps: int = 10_000
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    max_norm: float = 1.0
    corrects_bias: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamb:
    """Layer-wise rates for large batches (You et al. 2020).

    Attributes:
      learning_rate: the highest.
      warmup_steps: as in `BertAdam`.
      beta1: of the mean of gradients.
      beta2: of the mean of squares.
      epsilon: added to the root.
      weight_decay: of all but biases and normalisations.
      max_norm: of the whole gradient; it is shortened to this.
    """

    sparse_update: ClassVar[bool] = False

    learning_rate: float = 6e-3
    warmup_steps: int = 2000
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    max_norm: float = 1.0


Optimizer = Adagrad | BertAdam | Lamb

Schedule = Callable[[Any], Any]
"""From the number of steps made before to the learning rate."""


def make_optimizer(
    config: Optimizer, num_steps: int
) -> tuple[optax.GradientTransformation, Schedule]:
    """Build an optimiser and the schedule of its learning rate.

    Args:
      config: which, with its constants.
      num_steps: steps of the whole run, at whose end schedules reach zero.

    Raises:
      ValueError: a warm-up that is longer than the run.
    """
    schedule = schedule_of(config, num_steps)
    return transformation_of(config, schedule), schedule


def schedule_of(config: Optimizer, num_steps: int) -> Schedule:
    """Return the learning rate of each of so many steps.

    Raises:
      ValueError: a warm-up that is longer.
    """
    if isinstance(config, Adagrad):
        if config.decays:
            return optax.linear_schedule(config.learning_rate, 0.0, num_steps)
        return optax.constant_schedule(config.learning_rate)
    if config.warmup_steps > num_steps:
        raise ValueError(
            f"warmup_steps {config.warmup_steps} is above num_steps {num_steps}; the "
            "learning rate would never arrive"
        )
    return warm_up_and_decay(config.learning_rate, config.warmup_steps, num_steps)


def transformation_of(
    config: Optimizer, schedule: Schedule
) -> optax.GradientTransformation:
    """Build an optimiser with a learning rate of its own."""
    if isinstance(config, Adagrad):
        return optax.chain(
            optax.scale(config.loss_factor),
            optax.clip_by_global_norm(config.max_norm),
            optax.scale_by_rss(config.initial_accumulator, eps=0.0),
            optax.scale_by_learning_rate(schedule),
        )
    decay = optax.add_decayed_weights(config.weight_decay, mask=decay_mask)
    adam = scale_by_bert_adam
    if isinstance(config, Lamb) or config.corrects_bias:
        adam = optax.scale_by_adam
    parts = [
        optax.clip_by_global_norm(config.max_norm),
        adam(config.beta1, config.beta2, config.epsilon),
        decay,
    ]
    if isinstance(config, Lamb):
        parts.append(optax.scale_by_trust_ratio())
    return optax.chain(*parts, optax.scale_by_learning_rate(schedule))


def warm_up_and_decay(
    learning_rate: float, warmup_steps: int, num_steps: int
) -> Schedule:
    """Rise linearly from zero, then jump to the line that falls to zero at the end.

    The line begins at step 0, as published, so that there is a small step down where
    the warm-up ends.

    Example:
      >>> rate = warm_up_and_decay(1.0, 10, 100)
      >>> [round(float(rate(step)), 2) for step in (0, 9, 10, 100)]
      [0.0, 0.9, 0.9, 0.0]
    """

    def rate(step: Int[Any, ""] | int) -> Float[Array, ""]:
        step = jnp.asarray(step, jnp.float32)
        rising = step / max(warmup_steps, 1)
        falling = jnp.maximum(0.0, 1 - step / num_steps)
        return learning_rate * jnp.where(step < warmup_steps, rising, falling)

    return rate


def decay_mask(params: Any) -> Any:
    """Return the tree of `params` with True at leaves that decay."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: str(getattr(path[-1], "key", path[-1])) not in UNDECAYED,
        params,
    )


class MomentState(NamedTuple):
    """Running means of gradients and of their squares."""

    mean: Any
    square: Any


def scale_by_bert_adam(
    beta1: float, beta2: float, epsilon: float
) -> optax.GradientTransformation:
    """Divide the mean gradient by the root of the mean square, as BERT's program does.

    The means start from zero and are not corrected for it, so that first steps are
    larger than Adam's; optax has no switch for this.
    """

    def init(params: Any) -> MomentState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return MomentState(zeros, jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, MomentState]:
        del params
        mean = jax.tree.map(
            lambda m, g: beta1 * m + (1 - beta1) * g, state.mean, updates
        )
        square = jax.tree.map(
            lambda v, g: beta2 * v + (1 - beta2) * g * g, state.square, updates
        )
        step = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + epsilon), mean, square)
        return step, MomentState(mean, square)

    return optax.GradientTransformation(init, update)
