# SPDX-License-Identifier: Apache-2.0
"""Rows are filled and never overfull."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.packing import pack


@given(
    st.lists(st.integers(1, 40), max_size=80), st.sampled_from([40, 64]),
    st.integers(1, 9),
)  # fmt: skip
def test_no_row_is_overfull(lengths, row_length, max_instances):
    rows = pack(np.array(lengths, np.int64), row_length, max_instances)
    assert rows.dtype == np.int64
    assert len(rows) == len(lengths)
    if lengths:
        filled = np.bincount(rows, weights=lengths)
        assert filled.max() <= row_length
        assert 1 <= np.bincount(rows).min() <= np.bincount(rows).max() <= max_instances
        # Rows are begun one after the other.
        firsts = np.unique(rows, return_index=True)[1]
        assert (np.diff(firsts) > 0).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=80))
def test_an_instance_goes_where_the_least_room_is_left(lengths):
    """And begins a row only where it fits in none."""
    room: list[int] = []
    for length, row in zip(lengths, pack(np.array(lengths), 40, 80), strict=True):
        fitting = [r for r in room if r >= length]
        if row == len(room):
            assert not fitting
            room.append(40)
        else:
            assert room[row] == min(fitting)
        room[row] -= length


@pytest.mark.parametrize("kind", ["uniform", "mostly_short", "mostly_full"])
def test_random_lengths_leave_hardly_any_padding(kind):
    rng = np.random.default_rng(0)
    lengths = {
        "uniform": rng.integers(5, 129, 5000),
        "mostly_short": np.clip(rng.lognormal(3.2, 0.6, 5000), 5, 128).astype(int),
        "mostly_full": np.where(
            rng.random(5000) < 0.1, rng.integers(5, 129, 5000), 128
        ),
    }[kind]
    rows = pack(lengths, 128, 16)
    assert lengths.sum() >= 0.95 * 128 * (rows.max() + 1)


def test_one_instance_a_row_is_no_packing():
    np.testing.assert_array_equal(pack(np.array([3, 4, 5]), 40, 1), [0, 1, 2])
