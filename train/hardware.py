# SPDX-License-Identifier: Apache-2.0
"""How much a device can compute, to say how much of it a run makes use of."""

import time

import jax
import jax.numpy as jnp

# Dense products in bfloat16, operations a second, as the makers publish them.
PEAKS = {
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
}


def peak_flops(devices: list[jax.Device]) -> float | None:
    """Return the operations a second of all devices together, or None if unknown.

    A CPU's rate is measured on a float32 product; all its devices share it.
    """
    kind = devices[0].device_kind
    if devices[0].platform == "cpu":
        return _measured_rate()
    for name, peak in PEAKS.items():
        if kind.startswith(name):
            return peak * len(devices)
    return None


def _measured_rate(size: int = 1024) -> float:
    matrix = jnp.ones((size, size), jnp.float32)
    multiply = jax.jit(jnp.dot)
    multiply(matrix, matrix).block_until_ready()
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        multiply(matrix, matrix).block_until_ready()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
