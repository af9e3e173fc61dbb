# SPDX-License-Identifier: Apache-2.0
"""Weights are known again by a checksum: the same wherever they lie, else another."""

import zlib

import jax
import numpy as np

from embed_jax.devices.mesh import data_mesh, replicate, shard_rows
from embed_jax.files.weights_checksum import checksum_weights


def test_it_is_the_crc_of_all_leaves_one_after_another():
    one, two = np.arange(8, dtype=np.float32), np.ones((2, 3), np.float32)
    expected = zlib.crc32(one.tobytes() + two.tobytes())
    assert checksum_weights({"a": one, "b": two}) == f"{expected:08x}"
    assert checksum_weights({"a": two, "b": one}) != f"{expected:08x}"


def test_it_does_not_depend_on_where_weights_lie():
    weights = np.arange(16, dtype=np.float32)
    expected = checksum_weights([weights])
    for placed in (
        jax.device_put(weights),
        replicate(weights, data_mesh()),
        shard_rows(weights, data_mesh()),
    ):
        assert checksum_weights([placed]) == expected


def test_one_bit_makes_another():
    weights = np.ones(1000, np.float32)
    other = weights.copy()
    other[999] = np.nextafter(np.float32(1), np.float32(2))
    assert checksum_weights([weights]) != checksum_weights([other])


def test_it_has_eight_digits():
    # The checksum of nothing is zero.
    assert checksum_weights([]) == "00000000"
