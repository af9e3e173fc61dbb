# SPDX-License-Identifier: Apache-2.0
"""LAMB and its learning rate in NumPy float64: an oracle to test others against.

Algorithm: You et al. 2020, "Large Batch Optimization for Deep Learning: Training
BERT in 76 minutes" (arXiv 1904.00962), as the published programs compute it. The
formulae were read from these files and rewritten here, no code taken:

* google-research/albert, lamb_optimizer.py and optimization.py ("ALBERT");
* tensorflow/addons, tensorflow_addons/optimizers/lamb.py ("TFA"), and its later
  home tensorflow/models, official/modeling/optimization/lamb.py;
* mlcommons/training, language_model/tensorflow/bert/optimization.py ("MLPerf"); its
  lamb_optimizer_v1 was read in a stored copy whose origin is not recorded;
* NVIDIA/DeepLearningExamples, TensorFlow, TensorFlow2 and PyTorch BERT, and
  NVIDIA/apex, fused_lamb.py with multi_tensor_lamb.cu ("NVIDIA", "apex");
* tensorflow/tensorflow: train.polynomial_decay and clip_by_global_norm.

One update, number k = 0, 1, 2, ..., with rate a:

    g  <- g * c / max(c, ||all g||)       global clipping, when max_norm = c is given
    m  <- beta1 m + (1 - beta1) g
    v  <- beta2 v + (1 - beta2) g^2
    u  =  m' / (sqrt(v') + epsilon)       epsilon outside the root
    u  <- u + weight_decay w              only for decayed tensors
    r  =  ||w|| / ||u||                   1 when either norm is 0, or not adapted
    w  <- w - a r u

with m' = m, v' = v, or m' = m / (1 - beta1^(k+1)), v' = v / (1 - beta2^(k+1)) under
bias correction. The norms are Euclidean norms of the whole tensor (for a matrix
Frobenius, not spectral), of w before the update; the paper's phi is the identity.

`test_lamb.py` holds it against a computation done by hand. It was written by somebody
who had not seen the implementation.
"""

import math
from collections.abc import Callable

import numpy as np


def lamb_rate(
    step: int,
    *,
    peak: float,
    warmup_steps: int,
    num_steps: int,
    power: float = 1.0,
    decay_from_warmup: bool = False,
) -> float:
    """Return the learning rate of update number `step`, counted from 0.

    Warm-up covers `step < warmup_steps` and is `peak * step / warmup_steps`: the
    first update has rate 0, and update `warmup_steps` is the first on the decay.

    `decay_from_warmup=False` (ALBERT, MLPerf, and NVIDIA's TensorFlow LAMB branch):
    the decay is `peak * (1 - step / num_steps) ** power`. It counts from step 0,
    not from the end of warm-up, so after a warm-up `peak` itself is never reached:
    the rate goes from `peak * (warmup_steps - 1) / warmup_steps` straight to
    `peak * (1 - warmup_steps / num_steps) ** power`. ALBERT and MLPerf take
    `power` 1 by default; NVIDIA's LAMB always takes 0.5.

    `decay_from_warmup=True` (NVIDIA's TensorFlow *Adam* branch, power 1, which
    rescales its peak for the purpose; its PyTorch `LinearWarmUpScheduler`): the
    decay is `peak * ((num_steps - step) / (num_steps - warmup_steps)) ** power`,
    continuous, with `peak` at update `warmup_steps`. No LAMB program read uses it
    with a power other than 1.

    Update `num_steps - 1`, the last, has a rate above 0; past the end it is 0.

    NVIDIA's PyTorch schedulers (`PolyWarmUpScheduler`, degree 0.5) use the first
    form but count updates from 1: pass `step + 1`. Then the first rate is above 0
    and the last is exactly 0. They give warm-up as a fraction of `num_steps`, which
    need not be a whole number of steps.
    """
    if step < 0 or warmup_steps < 0 or num_steps < 1:
        raise ValueError("steps must not be negative, and num_steps must be positive")
    if step < warmup_steps:
        return peak * step / warmup_steps
    left = num_steps - min(step, num_steps)
    if not decay_from_warmup:
        return float(peak * (left / num_steps) ** power)
    if warmup_steps >= num_steps:
        raise ValueError("decay_from_warmup needs warmup_steps below num_steps")
    return float(peak * (left / (num_steps - warmup_steps)) ** power)


class Lamb:
    """LAMB, with the moments of every tensor and the number of updates made.

    `beta1` 0.9, `beta2` 0.999, `epsilon` 1e-6, `weight_decay` 0.01 and
    `max_norm` 1.0 are the values of every BERT program read. (TFA's own default
    weight decay is 0, and the TFA class clips only if asked.)

    `corrects_bias`: False in ALBERT; True in TFA, tensorflow/models, the MLPerf
    optimiser, apex (by default) and NVIDIA's TensorFlow (meant so: an
    early version raises its counter for every variable, not every step).

    `trust_everywhere`: whether tensors excluded from weight decay get the trust
    ratio too. False in ALBERT, TFA and MLPerf, where `exclude_from_layer_adaptation`
    defaults to `exclude_from_weight_decay` (an empty list counts as not given); and
    in apex by default, hence NVIDIA's PyTorch program. True in NVIDIA's TensorFlow
    LAMB (no exclusion there), its TensorFlow2 BERT (TFA with a list matching no
    name), and apex with `use_nvlamb=True`.

    With `weight_decay` 0, `decayed` still chooses the tensors that get the ratio,
    as in ALBERT and TFA. apex differs there: a group whose decay is 0 gets no ratio
    unless `use_nvlamb`; imitate it by a `decayed` that is always false.
    """

    def __init__(
        self,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay: float = 0.01,
        max_norm: float | None = 1.0,
        corrects_bias: bool,
        trust_everywhere: bool = False,
    ) -> None:
        if max_norm is not None and max_norm <= 0.0:
            raise ValueError("max_norm must be positive, or None")
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.max_norm = max_norm
        self.corrects_bias = corrects_bias
        self.trust_everywhere = trust_everywhere
        self.updates = 0
        self.first: dict[str, np.ndarray] = {}
        self.second: dict[str, np.ndarray] = {}

    def update(
        self,
        params: dict[str, np.ndarray],
        grads: dict[str, np.ndarray],
        rate: float,
        decayed: Callable[[str], bool],
    ) -> dict[str, np.ndarray]:
        """Return the parameters after one update; the arguments are left alone.

        `decayed(name)` says whether a tensor is decayed. The BERT programs exclude
        names in which one of "LayerNorm", "layer_norm", "bias" is found.
        """
        if params.keys() != grads.keys():
            raise ValueError("params and grads must have the same names")
        clipped = self._clip(grads)
        self.updates += 1
        scale1 = scale2 = 1.0
        if self.corrects_bias:
            scale1 = 1.0 - self.beta1**self.updates
            scale2 = 1.0 - self.beta2**self.updates
        result: dict[str, np.ndarray] = {}
        for name, param in params.items():
            weight = np.asarray(param, dtype=np.float64)
            grad = clipped[name]
            if weight.shape != grad.shape:
                raise ValueError(f"{name}: the gradient has another shape")
            zero = np.zeros_like(weight)
            first = self.beta1 * self.first.get(name, zero) + (1 - self.beta1) * grad
            second = (
                self.beta2 * self.second.get(name, zero) + (1 - self.beta2) * grad**2
            )
            self.first[name] = np.asarray(first)
            self.second[name] = np.asarray(second)
            change = (first / scale1) / (np.sqrt(second / scale2) + self.epsilon)
            if decayed(name):
                change = change + self.weight_decay * weight
            ratio = 1.0
            if self.trust_everywhere or decayed(name):
                ratio = _trust_ratio(weight, change)
            result[name] = np.asarray(weight - rate * ratio * change)
        return result

    def _clip(self, grads: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        exact = {name: np.asarray(g, dtype=np.float64) for name, g in grads.items()}
        total = math.sqrt(sum(_norm(grad) ** 2 for grad in exact.values()))
        if not math.isfinite(total):
            raise ValueError("the gradient is not finite")
        if self.max_norm is None:
            return exact
        scale = self.max_norm / max(total, self.max_norm)
        return {name: np.asarray(grad * scale) for name, grad in exact.items()}


def _norm(array: np.ndarray) -> float:
    return math.sqrt(float(np.sum(np.square(array))))


def _trust_ratio(weight: np.ndarray, change: np.ndarray) -> float:
    above, below = _norm(weight), _norm(change)
    return above / below if above > 0.0 and below > 0.0 else 1.0
