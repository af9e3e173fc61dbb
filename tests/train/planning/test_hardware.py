# SPDX-License-Identifier: Apache-2.0
"""What a plan and a utilisation are computed from is what the makers publish."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from train.planning.hardware import chip_of, peak_flops

T, G, GIB = 1e12, 1e9, 2**30
# Dense products in bfloat16, a second; memory; its bandwidth; what all links bring in.
# NVIDIA's data sheets of the A100, H100 and H200: half of "with sparsity", and half of
# NVLink's sum of both ways (600, 900 GB/s). Google Cloud's pages on each TPU: half of
# the bidirectional figure (v5e 400, v6e 800 GB/s), or the 4,800 Gbit/s of v5p. Of v4
# Jouppi et al. 2023, table 4: six links of 50 GB/s. Google writes GB for GiB.
MAKERS = {
    "NVIDIA A100-SXM4-80GB": (312 * T, 80 * G, 2039 * G, 600 * G / 2),
    "NVIDIA A100-SXM4-40GB": (312 * T, 40 * G, 1555 * G, 600 * G / 2),
    "NVIDIA A100-PCIE-40GB": (312 * T, 40 * G, 1555 * G, 600 * G / 2),
    "NVIDIA A100 80GB PCIe": (312 * T, 80 * G, 1935 * G, 600 * G / 2),
    "NVIDIA H100 80GB HBM3": (989 * T, 80 * G, 3350 * G, 900 * G / 2),
    "NVIDIA H100 PCIe": (756 * T, 80 * G, 2000 * G, 600 * G / 2),
    "NVIDIA H100 NVL": (835 * T, 94 * G, 3900 * G, 600 * G / 2),
    "NVIDIA H200": (989 * T, 141 * G, 4800 * G, 900 * G / 2),
    "NVIDIA H200 NVL": (835 * T, 141 * G, 4800 * G, 900 * G / 2),
    "TPU v4": (275 * T, 32 * GIB, 1200 * G, 6 * 50 * G),
    "TPU v5 lite": (197 * T, 16 * GIB, 819 * G, 400 * G / 2),
    "TPU v5e": (197 * T, 16 * GIB, 819 * G, 400 * G / 2),
    "TPU v5": (459 * T, 95 * GIB, 2765 * G, 4800 * G / 8),
    "TPU v5p": (459 * T, 95 * GIB, 2765 * G, 4800 * G / 8),
    "TPU v6 lite": (918 * T, 32 * GIB, 1638 * G, 800 * G / 2),
    "TPU v6e": (918 * T, 32 * GIB, 1638 * G, 800 * G / 2),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_chip_is_what_its_maker_says(kind: str):
    chip = chip_of(kind)
    assert chip is not None
    found = chip.flops, chip.memory, chip.bandwidth, chip.interconnect
    assert found == pytest.approx(MAKERS[kind], rel=1e-9)


@pytest.mark.parametrize(
    "kind",
    [
        "cpu",
        "NVIDIA T4",
        "TPU v3",
        "A100",
        # Parts of a card, and others whose names begin alike.
        "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
        "NVIDIA A100-SXM-64GB",
        "NVIDIA H100 80GB HBM2e",
        "TPU v4 lite",
    ],
)
def test_of_other_devices_nothing_is_known(kind: str):
    assert chip_of(kind) is None


def devices(kind: str, number: int) -> list[Any]:
    made = SimpleNamespace(platform=kind.split()[0].lower(), device_kind=kind)
    return cast(list[Any], [made] * number)


def test_the_peak_is_that_of_all_devices_together():
    # Without the annotation's check: these are no devices, but say what they are.
    peak = getattr(peak_flops, "__wrapped__", peak_flops)
    assert peak(devices("TPU v5 lite", 4)) == 4 * 197e12
    assert peak(devices("NVIDIA T4", 2)) is None
