# SPDX-License-Identifier: Apache-2.0
"""Lookup of a batch's epoch, for epochs with different numbers of batches.

The plan of an epoch assigns its data to batches. It depends on the seed and the epoch
only, so plans are made on demand and dropped again; only where epochs begin is kept. A
checkpoint says where its epoch begins, so that a run that goes on plans no other.
"""

import bisect
import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np


@runtime_checkable
class Plan(Protocol):
    """The assignment of an epoch's data to batches."""

    @property
    def num_batches(self) -> int:
        """Number of batches of this epoch, at least one."""
        ...


P = TypeVar("P", bound=Plan)


class Epochs(Generic[P]):
    """Finds the plan of a batch by the batch's number; thread-safe.

    Attributes:
      start: number of the batch that a run begins or goes on with.
    """

    def __init__(self, make_plan: Callable[[int], P], *, alike: bool = False) -> None:
        """Make no plan yet.

        Args:
          make_plan: makes the plan of an epoch, counted from 0.
          alike: whether all epochs have the plan of the first.
        """
        self._make_plan, self._alike = make_plan, alike
        self._plans: dict[int, P] = {}
        # Epochs of which the first batch is known, ascending, and its number.
        self._known: list[int] = [0]
        self._begins: list[int] = [0]
        self._lock = threading.Lock()
        self.start = 0

    def locate(self, number: int) -> tuple[P, int]:
        """Return the plan of a batch's epoch, and the batch's number within it."""
        with self._lock:
            epoch, begin = self._last_known(number)
            while (end := self._end(epoch, begin)) <= number:
                epoch, begin = epoch + 1, end
            return self._plan(epoch), number - begin

    def end(self, epoch: int) -> int:
        """Return the number of the first batch after an epoch."""
        with self._lock:
            place = bisect.bisect_right(self._known, epoch) - 1
            known, end = self._known[place], self._begins[place]
            for each in range(known, epoch + 1):
                end = self._end(each, end)
            return end

    def whereabouts(self, number: int) -> dict[str, int]:
        """Return what `resume` needs to find a batch, as far as it is known.

        Args:
          number: of the batch; that before it has been located, if there is one.

        Returns:
          "epoch" and "begin", its first batch; and "first", the batches of epoch 0, if
          they are known.
        """
        with self._lock:
            epoch, begin = self._last_known(number)
            first = {"first": self._begins[1]} if self._known[1:2] == [1] else {}
            return {"epoch": epoch, "begin": begin, **first}

    def resume(self, number: int, found: Mapping[str, Any]) -> None:
        """Go on with a batch, without planning the epochs before its own.

        Args:
          number: of the batch.
          found: what `whereabouts` returned for it.
        """
        with self._lock:
            self.start = number
            if "first" in found:
                self._learn(1, int(found["first"]))
            self._learn(int(found["epoch"]), int(found["begin"]))

    def _last_known(self, number: int) -> tuple[int, int]:
        """Return the last known epoch that does not begin after a batch."""
        place = bisect.bisect_right(self._begins, number) - 1
        return self._known[place], self._begins[place]

    def _end(self, epoch: int, begin: int) -> int:
        place = bisect.bisect_left(self._known, epoch + 1)
        if self._known[place : place + 1] == [epoch + 1]:
            return self._begins[place]
        end = begin + self._plan(epoch).num_batches
        self._learn(epoch + 1, end)
        return end

    def _learn(self, epoch: int, begin: int) -> None:
        place = bisect.bisect_left(self._known, epoch)
        if self._known[place : place + 1] != [epoch]:
            self._known.insert(place, epoch)
            self._begins.insert(place, begin)

    def _plan(self, epoch: int) -> P:
        epoch = 0 if self._alike else epoch
        if epoch not in self._plans:
            # A loader works at most at the end of one epoch and the start of the next.
            self._plans = {e: p for e, p in self._plans.items() if e == epoch - 1}
            self._plans[epoch] = self._make_plan(epoch)
        return self._plans[epoch]


@runtime_checkable
class InEpochs(Protocol):
    """Batches that are planned an epoch at a time."""

    @property
    def epochs(self) -> Epochs[Any]:
        """Return the epochs."""
        ...


def random_stream(seed: int, purpose: int, number: int) -> np.random.Generator:
    """Return the random generator for one purpose and one epoch or batch.

    Example:
      >>> first, again = (random_stream(0, 1, 5).random() for _ in range(2))
      >>> first == again
      True
    """
    return np.random.Generator(np.random.Philox(key=[seed, (purpose << 48) + number]))
