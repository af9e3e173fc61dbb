# SPDX-License-Identifier: Apache-2.0
"""The oracle of LAMB against values that were worked out on paper."""

import math

import numpy as np

from tests.oracles.lamb import Lamb, lamb_rate


def _show(label: str, got: np.ndarray | float, want: list[float] | float) -> None:
    """Compare a result with its value by hand."""
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-15, err_msg=label)


def _two_updates(
    corrects_bias: bool, trust_everywhere: bool
) -> list[dict[str, np.ndarray]]:
    """Make two updates of a decayed 2-vector and an excluded scalar."""
    lamb = Lamb(
        beta1=0.5,
        beta2=0.75,
        epsilon=1.0,
        weight_decay=0.5,
        max_norm=None,
        corrects_bias=corrects_bias,
        trust_everywhere=trust_everywhere,
    )
    params = {"kernel": np.array([3.0, 4.0]), "bias": np.array(2.0)}
    steps = []
    for kernel, bias, rate in (([2.0, -2.0], 6.0, 0.25), ([1.0, -1.0], 3.0, 0.125)):
        grads = {"kernel": np.array(kernel), "bias": np.array(bias)}
        params = lamb.update(params, grads, rate, lambda name: name != "bias")
        steps.append(params)
    return steps


def test_updates_and_rates_by_hand() -> None:
    """Two updates, with clipping, norms of zero and rates.

    kernel w = (3, 4), gradients (2, -2) then (1, -1), rates 1/4 then 1/8, beta1 1/2,
    beta2 3/4, epsilon 1, decay 1/2, no clipping. Without bias correction:
      1: m = (1, -1), v = (1, 1), m / (sqrt v + 1) = (1/2, -1/2),
         u = (1/2 + 3/2, -1/2 + 2) = (2, 3/2), ||u|| = 5/2, ||w|| = 5, ratio 2,
         w = (3, 4) - 1/4 * 2 * (2, 3/2) = (2, 13/4).
      2: m = (1, -1), v = (1, 1) again, u = (3/2, 9/8), ||u|| = 15/8,
         ||w|| = sqrt(233) / 4, ratio 2 sqrt(233) / 15,
         w = (2, 13/4) - sqrt(233) * (1/40, 3/160).
    bias b = 2, gradients 6 then 3, excluded: m = 3, v = 9 both times, u = 3/4;
      b = 2 - 3/16 = 29/16, then 29/16 - 3/32 = 55/32. With the ratio (a scalar moves
      by rate * |b|): b = 2 * 3/4 = 3/2, then 3/2 * 7/8 = 21/16.
    With bias correction (divisors 1/2, 1/4; then 3/4, 7/16):
      1: u = (2/3 + 3/2, -2/3 + 2) = (13/6, 8/6), ratio 30 / sqrt(233),
         w = (3 - 65/4 / sqrt(233), 4 - 10 / sqrt(233)); b = 2 - 1/4 * 6/7.
      2: m' = (4/3, -4/3), v' = 16/7, m' / (sqrt v' + 1) = q (1, -1) with
         q = 4 sqrt(7) / (12 + 3 sqrt(7)); b loses 1/8 * 4 sqrt(7) / (12 + sqrt(7)).
    """
    root = math.sqrt(233.0)
    one, two = _two_updates(corrects_bias=False, trust_everywhere=False)
    _show("kernel, update 1", one["kernel"], [2.0, 3.25])
    _show("kernel, update 2", two["kernel"], [2 - root / 40, 3.25 - 3 * root / 160])
    _show("bias, update 1", one["bias"], 29 / 16)
    _show("bias, update 2", two["bias"], 55 / 32)

    one, two = _two_updates(corrects_bias=False, trust_everywhere=True)
    _show("bias with the ratio, update 1", one["bias"], 1.5)
    _show("bias with the ratio, update 2", two["bias"], 21 / 16)

    one, two = _two_updates(corrects_bias=True, trust_everywhere=False)
    x, y = 3 - 16.25 / root, 4 - 10 / root
    _show("kernel corrected, update 1", one["kernel"], [x, y])
    seven = math.sqrt(7.0)
    q = 4 * seven / (12 + 3 * seven)
    ux, uy = q + x / 2, -q + y / 2
    far = math.hypot(x, y) / math.hypot(ux, uy) / 8
    _show("kernel corrected, update 2", two["kernel"], [x - far * ux, y - far * uy])
    b = 2 - 6 / 28
    _show("bias corrected, update 1", one["bias"], b)
    b -= 4 * seven / (12 + seven) / 8
    _show("bias corrected, update 2", two["bias"], b)

    # Clipping: ||(3, (0, 4))|| = 5, so the gradients become 3/5 and (0, 4/5).
    lamb = Lamb(beta1=0.5, max_norm=1.0, corrects_bias=False)
    zeros = {"a": np.array(0.0), "b": np.zeros(2)}
    grads = {"a": np.array(3.0), "b": np.array([0.0, 4.0])}
    moved = lamb.update(zeros, grads, 0.0, lambda name: True)
    _show("clipped moment, scalar", lamb.first["a"], 0.3)
    _show("clipped moment, vector", lamb.first["b"], [0.0, 0.4])
    _show("rate 0 moves nothing", moved["b"], [0.0, 0.0])

    # Norms of 0: ratio 1. For w = 0: m = (1, -1), v = 1, u = (1/2, -1/2).
    lamb = Lamb(
        beta1=0.5,
        beta2=0.75,
        epsilon=1.0,
        weight_decay=0.0,
        max_norm=None,
        corrects_bias=False,
    )
    params = {"a": np.zeros(2), "b": np.array([3.0, 4.0])}
    grads = {"a": np.array([2.0, -2.0]), "b": np.zeros(2)}
    moved = lamb.update(params, grads, 0.25, lambda name: True)
    _show("||w|| = 0, ratio 1", moved["a"], [-0.125, 0.125])
    _show("||u|| = 0, unmoved", moved["b"], [3.0, 4.0])

    # Rates: peak 8, 4 warm-up steps of 16.
    def rates(power: float, from_warmup: bool) -> np.ndarray:
        return np.array(
            [
                lamb_rate(
                    step,
                    peak=8.0,
                    warmup_steps=4,
                    num_steps=16,
                    power=power,
                    decay_from_warmup=from_warmup,
                )
                for step in (0, 1, 3, 4, 7, 12, 15, 16, 17)
            ]
        )

    _show("rate", rates(1.0, False), [0, 2, 6, 6, 4.5, 2, 0.5, 0, 0])
    half = [0, 2, 6, 4 * math.sqrt(3), 6, 4, 2, 0, 0]
    _show("rate, power 0.5", rates(0.5, False), half)
    _show("rate from warm-up", rates(1.0, True), [0, 2, 6, 8, 6, 8 / 3, 2 / 3, 0, 0])
