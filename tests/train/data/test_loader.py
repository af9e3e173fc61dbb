# SPDX-License-Identifier: Apache-2.0
"""Batches that are made ahead come in order, the first and the last as asked."""

import pytest

from train.data.loader import load_batches


class Squares:
    """Batches that are easily told apart."""

    def __getitem__(self, number: int) -> int:
        return number**2


@pytest.mark.parametrize("num_threads", [1, 3])
def test_steps_from_the_first_up_to_the_last_come_in_order(num_threads):
    assert list(load_batches(Squares(), 3, 8, num_threads)) == [9, 16, 25, 36, 49]
    assert list(load_batches(Squares(), 0, 1, num_threads)) == [0]


def test_a_run_that_has_made_all_its_steps_reads_nothing():
    assert list(load_batches(Squares(), 5, 5, 1)) == []
    assert list(load_batches(Squares(), 6, 5, 1)) == []
