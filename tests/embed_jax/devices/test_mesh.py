# SPDX-License-Identifier: Apache-2.0
"""Rows are divided among devices, weights are not."""

import jax
import numpy as np
import pytest

from embed_jax.devices.mesh import data_mesh, replicate, shard_rows


def test_a_mesh_has_all_devices_unless_told():
    assert dict(data_mesh().shape) == {"data": 8}
    two = jax.devices()[2:4]
    assert data_mesh(two).devices.tolist() == two


def test_every_device_has_its_rows():
    rows = shard_rows({"a": np.arange(16)}, data_mesh())["a"]
    held = {shard.device.id: shard.data.tolist() for shard in rows.addressable_shards}
    assert held == {device: [2 * device, 2 * device + 1] for device in range(8)}


def test_rows_that_cannot_be_divided_are_refused():
    with pytest.raises(ValueError, match="9"):
        shard_rows(np.zeros(9), data_mesh())


def test_every_device_has_all_weights():
    weights = replicate(np.arange(3), data_mesh())
    held = [shard.data.tolist() for shard in weights.addressable_shards]
    assert held == [[0, 1, 2]] * 8
