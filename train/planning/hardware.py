# SPDX-License-Identifier: Apache-2.0
"""Specifications of devices, as published, and the measured rate of a CPU."""

import dataclasses
import time

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Chip:
    """The published specifications of a device.

    Attributes:
      flops: dense products in bfloat16, operations a second.
      memory: bytes; of NVIDIA's cards slightly less than a device reports, since their
        GB is 1e9.
      bandwidth: of the memory, bytes a second.
      interconnect: maximal receive rate from the neighbours, bytes a second, over all
        links; half of the published bidirectional rate.
    """

    flops: float
    memory: float
    bandwidth: float
    interconnect: float


GIB = 2.0**30
CHIPS = {
    "NVIDIA A100-SXM4-80GB": Chip(312e12, 80e9, 2.039e12, 300e9),
    "NVIDIA A100-SXM4-40GB": Chip(312e12, 40e9, 1.555e12, 300e9),
    "NVIDIA A100-PCIE-40GB": Chip(312e12, 40e9, 1.555e12, 300e9),
    "NVIDIA A100 80GB PCIe": Chip(312e12, 80e9, 1.935e12, 300e9),
    "NVIDIA H100 80GB HBM3": Chip(989e12, 80e9, 3.35e12, 450e9),
    "NVIDIA H100 PCIe": Chip(756e12, 80e9, 2.0e12, 300e9),
    "NVIDIA H100 NVL": Chip(835e12, 94e9, 3.9e12, 300e9),
    "NVIDIA H200": Chip(989e12, 141e9, 4.8e12, 450e9),
    "NVIDIA H200 NVL": Chip(835e12, 141e9, 4.8e12, 450e9),
    "TPU v4": Chip(275e12, 32 * GIB, 1.2e12, 300e9),
    "TPU v5 lite": Chip(197e12, 16 * GIB, 0.819e12, 200e9),
    "TPU v5e": Chip(197e12, 16 * GIB, 0.819e12, 200e9),
    "TPU v5": Chip(459e12, 95 * GIB, 2.765e12, 600e9),
    "TPU v5p": Chip(459e12, 95 * GIB, 2.765e12, 600e9),
    "TPU v6 lite": Chip(918e12, 32 * GIB, 1.638e12, 400e9),
    "TPU v6e": Chip(918e12, 32 * GIB, 1.638e12, 400e9),
}
"""The chips by jax's `device_kind`: by the whole of it, for "TPU v4 lite" is no TPU v4,
and a part of a card (MIG) has another rate than the card."""


def chip_of(kind: str) -> Chip | None:
    """Return the specifications for a `device_kind` of jax, or None.

    Example:
      >>> chip_of("TPU v5 lite").flops, chip_of("TPU v5p").flops
      (197000000000000.0, 459000000000000.0)
    """
    return CHIPS.get(kind)


def peak_flops(devices: list[jax.Device]) -> float | None:
    """Return the operations a second of all devices together, or None if unknown.

    A CPU's rate is measured on a float32 product; all its devices share it.
    """
    if devices[0].platform == "cpu":
        return _measured_rate()
    chip = chip_of(devices[0].device_kind)
    return chip.flops * len(devices) if chip else None


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
