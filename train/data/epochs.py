# SPDX-License-Identifier: Apache-2.0
"""Which epoch a batch belongs to, where every epoch has a number of batches of its own.

An epoch's plan says what stands where in its batches. Plans are functions of the seed
and the epoch alone, so they are made when they are needed and forgotten when they are
not; what is remembered is how many batches each had.
"""

import bisect
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np


@runtime_checkable
class Plan(Protocol):
    """What stands where in an epoch's batches."""

    @property
    def num_batches(self) -> int:
        """Batches of this epoch, at least one."""
        ...


P = TypeVar("P", bound=Plan)


class Epochs(Generic[P]):
    """Finds a batch's plan by the batch's number; safe to use from several threads."""

    def __init__(self, make_plan: Callable[[int], P], *, alike: bool = False) -> None:
        """Prepare to make plans.

        Args:
          make_plan: of an epoch, counted from 0.
          alike: whether every epoch is as the first.
        """
        self._make_plan, self._alike = make_plan, alike
        self._plans: dict[int, P] = {}
        self._ends: list[int] = []
        self._lock = threading.Lock()

    def locate(self, number: int) -> tuple[P, int]:
        """Return the plan of a batch's epoch and the batch's number in that epoch."""
        with self._lock:
            while not self._ends or self._ends[-1] <= number:
                self._count_next()
            epoch = bisect.bisect_right(self._ends, number)
            begin = self._ends[epoch - 1] if epoch else 0
            return self._plan(epoch), number - begin

    def end(self, epoch: int) -> int:
        """Return the number of the first batch after an epoch."""
        with self._lock:
            while len(self._ends) <= epoch:
                self._count_next()
            return self._ends[epoch]

    def _count_next(self) -> None:
        before = self._ends[-1] if self._ends else 0
        self._ends.append(before + self._plan(len(self._ends)).num_batches)

    def _plan(self, epoch: int) -> P:
        epoch = 0 if self._alike else epoch
        if epoch not in self._plans:
            # A loader works at most at the end of one epoch and the start of the next.
            self._plans = {e: p for e, p in self._plans.items() if e == epoch - 1}
            self._plans[epoch] = self._make_plan(epoch)
        return self._plans[epoch]


def random_stream(seed: int, purpose: int, number: int) -> np.random.Generator:
    """Return the random numbers of one purpose and one epoch or batch.

    Example:
      >>> first, again = (random_stream(0, 1, 5).random() for _ in range(2))
      >>> first == again
      True
    """
    return np.random.Generator(np.random.Philox(key=[seed, (purpose << 48) + number]))
