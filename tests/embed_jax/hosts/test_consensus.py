# SPDX-License-Identifier: Apache-2.0
"""What processes agree on; `tests/train/loop/test_hosts.py` has several of them."""

import pytest

from embed_jax.hosts import consensus
from embed_jax.hosts.consensus import all_or_none, from_all, from_first


def test_one_process_agrees_with_itself():
    assert from_first(-1) == -1
    assert from_all(5) == [5]
    with all_or_none():
        pass
    with pytest.raises(OSError, match="no such"), all_or_none():
        raise OSError("no such file")


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_what_fails_here_is_told_to_the_others(monkeypatch, error):
    told = []
    monkeypatch.setattr(consensus, "from_all", lambda number: [told.append(number)])
    with pytest.raises(error, match="no such"), all_or_none():
        raise error("no such file")
    with all_or_none():
        pass
    assert told == [1, 0]


@pytest.mark.parametrize(("failed", "named"), [([0, 1, 1], 1), ([0, 0, 1], 2)])
def test_what_fails_elsewhere_fails_here(monkeypatch, failed, named):
    monkeypatch.setattr(consensus, "from_all", lambda number: failed)
    with pytest.raises(ValueError, match=f"process {named} cannot"), all_or_none():
        pass
    # This one's own error says more.
    with pytest.raises(OSError, match="no such"), all_or_none():
        raise OSError("no such file")
