# SPDX-License-Identifier: Apache-2.0
"""The published optimisers of ELMo and BERT, built from optax's parts, and LAMB."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from embed_jax.checks import check_above, check_at_least, check_fields, check_rates

# Leaves that are not pulled towards zero: biases and the scales of normalisations.
UNDECAYED = ("bias", "scale")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adagrad:
    """The optimiser of the published biLMs (bilm-tf).

    Attributes:
      learning_rate: constant.
      initial_accumulator: initial value of the sum of squares; there is no epsilon.
      loss_factor: the loss is multiplied by this before the gradient is clipped.
        bilm-tf uses the length of its windows, 20. As the accumulator does not start at
        0, the factor changes the steps.
      max_norm: the gradient is clipped to this global norm.
      decays: whether the learning rate falls linearly to zero; not published.
    """

    sparse_update: ClassVar[bool] = True
    """True: parameters without gradient and their state are unchanged by a step."""

    learning_rate: float = 0.2
    initial_accumulator: float = 1.0
    loss_factor: float = 20.0
    max_norm: float = 10.0
    decays: bool = False

    def __post_init__(self) -> None:
        """Refuse constants with which nothing is learnt, or the loss rises.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_above(self, 0, "learning_rate", "loss_factor", "max_norm")
        check_at_least(self, 0, "initial_accumulator")

    @property
    def rate_has_an_end(self) -> bool:
        """Whether the learning rates of all steps depend on the length of the run."""
        return self.decays


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertAdam:
    """The optimiser of BERT (Devlin et al. 2019, appendix A.2).

    What the appendix does not say is as in the published program, optimization.py:
    epsilon, the clipping, no bias correction, and where the decay begins.

    Attributes:
      learning_rate: the peak of the schedule.
      warmup_steps: steps of the linear warm-up from zero. The learning rate then falls
        linearly to zero, on the line that begins at step 0.
      beta1: decay of the mean of gradients.
      beta2: decay of the mean of squares.
      epsilon: added to the root.
      weight_decay: times the learning rate, of all but biases and normalisations.
      max_norm: the gradient is clipped to this global norm.
      corrects_bias: whether Adam's bias correction is applied; BERT's published program
        does not.
      decay_power: the line is raised to this power, 1 as published.
    """

    sparse_update: ClassVar[bool] = False
    rate_has_an_end: ClassVar[bool] = True

    learning_rate: float = 1e-4
    warmup_steps: int = 10_000
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    max_norm: float = 1.0
    corrects_bias: bool = False
    decay_power: float = 1.0

    def __post_init__(self) -> None:
        """Refuse constants with which nothing is learnt, or the loss rises.

        Raises:
          ValueError: names the field.
        """
        _check_moments(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamb:
    """LAMB, with layer-wise rates for large batches (You et al. 2020).

    The step of a leaf is scaled to the leaf's norm, which is called its trust ratio.

    Attributes:
      learning_rate: the peak of the schedule.
      warmup_steps: as in `BertAdam`.
      beta1: decay of the mean of gradients.
      beta2: decay of the mean of squares.
      epsilon: added to the root.
      weight_decay: of all but biases and normalisations.
      max_norm: the gradient is clipped to this global norm.
      corrects_bias: whether Adam's bias correction is applied, as in the paper, in
        TensorFlow Addons and in NVIDIA's programs; ALBERT's program does not.
      decay_power: as in `BertAdam`; NVIDIA's programs have 0.5, a root.
      adapts_all: whether biases and normalisations have a trust ratio too, as in
        NVIDIA's TensorFlow program. ALBERT's program, TensorFlow Addons and NVIDIA's
        PyTorch program leave it out.
    """

    sparse_update: ClassVar[bool] = False
    rate_has_an_end: ClassVar[bool] = True

    learning_rate: float = 6e-3
    warmup_steps: int = 2000
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01
    max_norm: float = 1.0
    corrects_bias: bool = True
    decay_power: float = 1.0
    adapts_all: bool = dataclasses.field(default=False, metadata={"formerly": True})

    def __post_init__(self) -> None:
        """Refuse constants with which nothing is learnt, or the loss rises.

        Raises:
          ValueError: names the field.
        """
        _check_moments(self)


def _check_moments(config: BertAdam | Lamb) -> None:
    check_fields(config)
    check_above(config, 0, "learning_rate", "max_norm", "epsilon", "decay_power")
    check_at_least(config, 0, "warmup_steps", "weight_decay")
    check_rates(config, "beta1", "beta2")


Optimizer = Adagrad | BertAdam | Lamb

Schedule = Callable[[Any], Any]
"""Maps the number of previous steps to the learning rate."""


def make_optimizer(
    config: Optimizer, num_steps: int
) -> tuple[optax.GradientTransformation, Schedule]:
    """Build an optimiser and the schedule of its learning rate.

    Args:
      config: the optimiser and its constants.
      num_steps: steps of the whole run, at whose end schedules reach zero.

    Raises:
      ValueError: a warm-up that is longer than the run.
    """
    schedule = schedule_of(config, num_steps)
    return transformation_of(config, schedule), schedule


def schedule_of(config: Optimizer, num_steps: int) -> Schedule:
    """Return the schedule of the learning rate over `num_steps` steps.

    Raises:
      ValueError: a warm-up that is longer than the run.
    """
    if isinstance(config, Adagrad):
        if config.decays:
            return optax.linear_schedule(config.learning_rate, 0.0, num_steps)
        return optax.constant_schedule(config.learning_rate)
    if config.warmup_steps > num_steps:
        raise ValueError(
            f"optimizer.warmup_steps {config.warmup_steps} is above the {num_steps} "
            "steps of its schedule; the learning rate would never arrive"
        )
    return warm_up_and_decay(
        config.learning_rate, config.warmup_steps, num_steps, config.decay_power
    )


def transformation_of(
    config: Optimizer, schedule: Schedule
) -> optax.GradientTransformation:
    """Build an optimiser with a given schedule of the learning rate."""
    if isinstance(config, Adagrad):
        return optax.chain(
            optax.scale(config.loss_factor),
            optax.clip_by_global_norm(config.max_norm),
            optax.scale_by_rss(config.initial_accumulator, eps=0.0),
            optax.scale_by_learning_rate(schedule),
        )
    decay = optax.add_decayed_weights(config.weight_decay, mask=decay_mask)
    adam = optax.scale_by_adam if config.corrects_bias else scale_by_bert_adam
    parts = [
        optax.clip_by_global_norm(config.max_norm),
        adam(config.beta1, config.beta2, config.epsilon),
        decay,
    ]
    if isinstance(config, Lamb):
        ratio = optax.scale_by_trust_ratio()
        parts.append(ratio if config.adapts_all else optax.masked(ratio, decay_mask))
    return optax.chain(*parts, optax.scale_by_learning_rate(schedule))


def warm_up_and_decay(
    learning_rate: float, warmup_steps: int, num_steps: int, power: float = 1.0
) -> Schedule:
    """Return BERT's schedule: linear warm-up from zero, then decay to zero.

    The line of the decay begins at step 0, as published, so the rate drops a little at
    the end of the warm-up.

    Args:
      learning_rate: the peak.
      warmup_steps: steps of the warm-up.
      num_steps: steps after which the rate is zero.
      power: the line of the decay is raised to it.

    Example:
      >>> rate = warm_up_and_decay(1.0, 10, 100)
      >>> [round(float(rate(step)), 2) for step in (0, 9, 10, 100)]
      [0.0, 0.9, 0.9, 0.0]
      >>> round(float(warm_up_and_decay(1.0, 10, 100, 0.5)(64)), 2)
      0.6
    """

    def rate(step: Int[Any, ""] | int) -> Float[Array, ""]:
        step = jnp.asarray(step, jnp.float32)
        rising = step / max(warmup_steps, 1)
        falling = jnp.maximum(0.0, 1 - step / num_steps)
        if power != 1:
            falling = falling**power
        return learning_rate * jnp.where(step < warmup_steps, rising, falling)

    return rate


def decay_mask(params: Any) -> Any:
    """Return the tree of `params` with True at leaves with weight decay."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: str(getattr(path[-1], "key", path[-1])) not in UNDECAYED,
        params,
    )


class MomentState(NamedTuple):
    """Exponential moving averages of gradients and of their squares."""

    mean: Any
    square: Any


def scale_by_bert_adam(
    beta1: float, beta2: float, epsilon: float
) -> optax.GradientTransformation:
    """Build Adam without bias correction, as in BERT's published program.

    The first steps are larger than Adam's; optax has no option for this.
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
