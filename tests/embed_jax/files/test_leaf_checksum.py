# SPDX-License-Identifier: Apache-2.0
"""A leaf's checksum tells every change, and not where the leaf lies."""

import jax
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from embed_jax.files.leaf_checksum import (
    check_leaves,
    checksum_on_host,
    checksums_on_devices,
    describe_leaves,
)

RNG = np.random.default_rng(0)
LEAVES = {
    "float32": RNG.standard_normal((4, 6)).astype(np.float32),
    "bfloat16": RNG.standard_normal((8, 3)).astype(ml_dtypes.bfloat16),
    "int32": RNG.integers(-9, 9, (4,)).astype(np.int32),
    "bool": RNG.integers(0, 2, (8, 2)).astype(bool),
    "float64": RNG.standard_normal((4, 2)),
}


@pytest.mark.parametrize("name", LEAVES)
def test_host_and_devices_whole_or_sharded_say_the_same(name: str):
    leaf = LEAVES[name]
    expected = checksum_on_host(leaf)
    with jax.enable_x64(leaf.dtype == np.float64):
        mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])
        for spec in (PartitionSpec(), PartitionSpec("data")):
            placed = jax.device_put(leaf, NamedSharding(mesh, spec))
            parts = list(map(int, checksums_on_devices(placed)))
            assert len(parts) == (4 if spec else 1)
            assert sum(parts) % 2**32 == expected


def test_every_bit_counts_and_every_place():
    leaf = RNG.standard_normal(70_000).astype(np.float32)  # more than one chunk
    before = describe_leaves({"kernel": leaf})
    for place in (0, 1, 65_535, 65_536, 69_999):
        for bit in (0, 7, 23, 31):
            other = leaf.copy()
            other.view(np.uint32)[place] ^= np.uint32(1 << bit)
            assert describe_leaves({"kernel": other}) != before
    swapped, zeroed = leaf.copy(), leaf.copy()
    swapped[[3, 69_000]] = leaf[[69_000, 3]]
    zeroed[100:9000] = 0
    for other in (swapped, zeroed, leaf.reshape(2, -1), leaf.view(np.int32)):
        assert describe_leaves({"kernel": other}) != before


def test_what_was_not_written_so_is_refused_by_name():
    leaves = {"bias": np.zeros(2, np.float32), "kernel": np.ones(3, np.float32)}
    held = describe_leaves(leaves)
    check_leaves(leaves, held, "RUN/params")
    for named, damaged in (
        (leaves | {"bias": np.array([0, 1], np.float32)}, held),
        (leaves, {**held, "bias": "float32[2] 00000000"}),
        (leaves, {"kernel": held["kernel"]}),
        ({"kernel": leaves["kernel"]}, held),
    ):
        with pytest.raises(ValueError, match="RUN/params is damaged: bias is not what"):
            check_leaves(named, damaged, "RUN/params")
    with pytest.raises(ValueError, match="RUN/params is damaged: its checksums"):
        check_leaves(leaves, ["bias"], "RUN/params")
