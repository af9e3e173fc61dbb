# SPDX-License-Identifier: Apache-2.0
"""In which order the devices of several hosts stand in the mesh."""

from types import SimpleNamespace

import pytest

from train.sharding import host_by_host


def make_devices(*hosts: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(id=id, process_index=host) for id, host in enumerate(hosts)]


def test_the_rows_of_a_host_lie_on_its_own_devices():
    # As on TPU, where two hosts share each row of a slice and chips count row by row.
    ordered = host_by_host(make_devices(0, 0, 1, 1, 0, 0, 1, 1))
    assert [device.process_index for device in ordered] == [0] * 4 + [1] * 4
    assert [device.id for device in ordered] == [0, 1, 4, 5, 2, 3, 6, 7]


def test_hosts_with_unequal_numbers_of_devices_are_refused():
    with pytest.raises(ValueError, match="hosts have 2, 1 devices; all need equally"):
        host_by_host(make_devices(0, 0, 1))
