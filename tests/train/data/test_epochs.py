# SPDX-License-Identifier: Apache-2.0
"""Batches are found in their epochs, and epochs are not planned more than needed."""

from typing import NamedTuple

import numpy as np
import pytest

from train.data.epochs import Epochs, random_stream


class Plan(NamedTuple):
    """An epoch of a number of batches."""

    epoch: int
    num_batches: int


SIZES = (2, 3, 1, 4)


def make_epochs(*, alike: bool = False) -> tuple[Epochs, list[int]]:
    """Return epochs of those sizes, and a list of those that were planned."""
    planned: list[int] = []

    def make_plan(epoch: int) -> Plan:
        planned.append(epoch)
        return Plan(epoch, SIZES[epoch])

    return Epochs(make_plan, alike=alike), planned


def test_a_batch_is_found_in_its_epoch():
    epochs, _ = make_epochs()
    found = [epochs.locate(number) for number in range(10)]
    assert [(plan.epoch, step) for plan, step in found] == [
        *[(0, 0), (0, 1)],
        *[(1, 0), (1, 1), (1, 2)],
        (2, 0),
        *[(3, 0), (3, 1), (3, 2), (3, 3)],
    ]
    assert [epochs.end(epoch) for epoch in range(4)] == [2, 5, 6, 10]


def test_the_end_of_one_epoch_and_the_start_of_the_next_are_planned_once():
    """A loader of several threads goes back and forth there."""
    epochs, planned = make_epochs()
    for number in (1, 2, 1, 3, 1, 2, 4):
        epochs.locate(number)
    assert planned == [0, 1]


def test_epochs_that_are_alike_are_planned_once():
    epochs, planned = make_epochs(alike=True)
    assert epochs.locate(7) == (Plan(0, 2), 1)
    assert epochs.end(3) == 8
    assert planned == [0]


@pytest.mark.parametrize(
    "other", [(1, 1, 5), (0, 2, 5), (0, 1, 6)], ids=["seed", "purpose", "number"]
)
def test_random_numbers_are_of_a_seed_a_purpose_and_a_number(other):
    first, again = random_stream(0, 1, 5), random_stream(0, 1, 5)
    drawn = first.random(8)
    np.testing.assert_array_equal(drawn, again.random(8))
    assert not np.isin(random_stream(*other).random(8), drawn).any()


def test_a_large_number_of_one_purpose_is_none_of_the_next():
    one, other = random_stream(0, 1, 2**40), random_stream(0, 2, 0)
    assert one.random() != other.random()


def test_a_batch_is_found_again_by_planning_its_epoch_alone():
    """What is known of a batch before it is made says where its epoch begins."""
    for number in range(1, 10):
        epochs, _ = make_epochs()
        epochs.locate(number - 1)
        found = epochs.whereabouts(number)
        again, planned = make_epochs()
        again.resume(number, found)
        assert again.start == number
        plan, step = again.locate(number)
        assert planned == [plan.epoch]
        assert (plan, step) == epochs.locate(number)
        # And all that a run asks besides, without another plan.
        if number >= SIZES[0]:
            assert again.end(0) == SIZES[0]
        assert planned == [plan.epoch]


def test_what_lies_before_the_batch_that_a_run_goes_on_with_is_found_too():
    epochs, _ = make_epochs()
    epochs.resume(7, {"epoch": 3, "begin": 6, "first": 2})
    found = [epochs.locate(number) for number in (8, 0, 5, 3, 9, 2)]
    assert [(plan.epoch, step) for plan, step in found] == [
        *[(3, 2), (0, 0), (2, 0), (1, 1), (3, 3), (1, 0)],
    ]
    assert [epochs.end(epoch) for epoch in range(4)] == [2, 5, 6, 10]
