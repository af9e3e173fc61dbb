# SPDX-License-Identifier: Apache-2.0
"""The optimisers of BERT and ELMo, in float64 on dicts of arrays.

Oracles of Google BERT's Adam and learning rate and of TensorFlow's Adagrad. Every
`step(params, grads)` returns new parameters and leaves its arguments alone. A learning
rate is a number, or a function of the number of steps made before (0 at the first).
"""

import re
from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
LearningRate = float | Callable[[int], float]

# Names that are not decayed, as Google BERT has them.
NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")


def value_at(learning_rate: LearningRate, step: int) -> float:
    """The learning rate after `step` steps."""
    return learning_rate(step) if callable(learning_rate) else learning_rate


def warmup_linear_decay(
    learning_rate: float, warmup_steps: int, total_steps: int
) -> Callable[[int], float]:
    """Google BERT's schedule: linear from 0, then linear to 0 at `total_steps`.

    The decay counts from step 0, so that it begins below `learning_rate`.
    """

    def at(step: int) -> float:
        if step < warmup_steps:
            return learning_rate * step / warmup_steps
        return learning_rate * (1.0 - min(step, total_steps) / total_steps)

    return at


def global_norm(arrays: Arrays) -> float:
    """The Euclidean norm of all arrays together."""
    return float(
        np.sqrt(sum(np.sum(np.square(a, dtype=np.float64)) for a in arrays.values()))
    )


def clip_by_global_norm(
    grads: Arrays, max_norm: float | None
) -> tuple[dict[str, np.ndarray], float]:
    """The gradients scaled down to a common norm of `max_norm` if theirs is larger.

    Returns:
      The gradients, and their norm before. None for no clipping.
    """
    norm = global_norm(grads)
    scale = 1.0
    if max_norm is not None and norm > max_norm:
        scale = max_norm / norm
    return {n: np.asarray(g, np.float64) * scale for n, g in grads.items()}, norm


def is_decayed(name: str, exclude: tuple[str, ...] = NOT_DECAYED) -> bool:
    """Whether no excluded pattern is found anywhere in the name."""
    return not any(re.search(pattern, name) for pattern in exclude)


def zeros_like(params: Arrays) -> dict[str, np.ndarray]:
    """Zeros in float64 for each parameter."""
    return {name: np.zeros(np.shape(w)) for name, w in params.items()}


class BertAdam:
    """Google BERT's Adam: decoupled decay, by default no bias correction.

    Attributes:
      m: First moments, by name.
      v: Second moments, by name.
      n_steps: Steps made.
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay: float = 0.01,
        exclude: tuple[str, ...] = NOT_DECAYED,
        bias_correction: bool = False,
        clip_norm: float | None = None,
    ):
        self.learning_rate = learning_rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.exclude = exclude
        self.bias_correction = bias_correction
        self.clip_norm = clip_norm
        self.m: dict[str, np.ndarray] = {}
        self.v: dict[str, np.ndarray] = {}
        self.n_steps = 0

    def update(self, name: str, w: np.ndarray, g: np.ndarray) -> np.ndarray:
        """What the learning rate multiplies, decay included; moves the moments."""
        self.m[name] = self.beta1 * self.m[name] + (1.0 - self.beta1) * g
        self.v[name] = self.beta2 * self.v[name] + (1.0 - self.beta2) * g**2
        m, v = self.m[name], self.v[name]
        if self.bias_correction:
            m = m / (1.0 - self.beta1 ** (self.n_steps + 1))
            v = v / (1.0 - self.beta2 ** (self.n_steps + 1))
        update = m / (np.sqrt(v) + self.epsilon)
        if is_decayed(name, self.exclude):
            update = update + self.weight_decay * w
        return update

    def step(self, params: Arrays, grads: Arrays) -> dict[str, np.ndarray]:
        """New parameters from parameters and gradients of the same names."""
        if not self.m:
            self.m, self.v = zeros_like(params), zeros_like(params)
        grads, _ = clip_by_global_norm(grads, self.clip_norm)
        learning_rate = value_at(self.learning_rate, self.n_steps)
        new = {}
        for name in params:
            w = np.asarray(params[name], np.float64)
            update = self.update(name, w, grads[name])
            new[name] = w - learning_rate * update
        self.n_steps += 1
        return new


class Adagrad:
    """TensorFlow's Adagrad: an accumulator that starts above zero, no epsilon.

    Attributes:
      accumulator: Sums of squared gradients and the start value, by name.
      n_steps: Steps made.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.2,
        *,
        initial_accumulator: float = 1.0,
        clip_norm: float | None = None,
    ):
        self.learning_rate = learning_rate
        self.initial_accumulator = initial_accumulator
        self.clip_norm = clip_norm
        self.accumulator: dict[str, np.ndarray] = {}
        self.n_steps = 0

    def step(self, params: Arrays, grads: Arrays) -> dict[str, np.ndarray]:
        """New parameters from parameters and gradients of the same names."""
        if not self.accumulator:
            self.accumulator = {
                name: zeros + self.initial_accumulator
                for name, zeros in zeros_like(params).items()
            }
        grads, _ = clip_by_global_norm(grads, self.clip_norm)
        learning_rate = value_at(self.learning_rate, self.n_steps)
        new = {}
        for name in params:
            self.accumulator[name] = self.accumulator[name] + grads[name] ** 2
            update = grads[name] / np.sqrt(self.accumulator[name])
            new[name] = np.asarray(params[name], np.float64) - learning_rate * update
        self.n_steps += 1
        return new
