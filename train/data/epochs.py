# SPDX-License-Identifier: Apache-2.0
"""Lookup of a batch's epoch, for epochs with different numbers of batches.

The plan of an epoch assigns its data to batches. It depends on the seed and the epoch
only, so plans are made on demand and dropped again; only the number of batches of each
epoch is kept.
"""

import bisect
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, runtime_checkable

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
    """Finds the plan of a batch by the batch's number; thread-safe."""

    def __init__(self, make_plan: Callable[[int], P], *, alike: bool = False) -> None:
        """Make no plan yet.

        Args:
          make_plan: makes the plan of an epoch, counted from 0.
          alike: whether all epochs have the plan of the first.
        """
        self._make_plan, self._alike = make_plan, alike
        self._plans: dict[int, P] = {}
        self._ends: list[int] = []
        self._lock = threading.Lock()

    def locate(self, number: int) -> tuple[P, int]:
        """Return the plan of a batch's epoch, and the batch's number within it."""
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
    """Return the random generator for one purpose and one epoch or batch.

    Example:
      >>> first, again = (random_stream(0, 1, 5).random() for _ in range(2))
      >>> first == again
      True
    """
    return np.random.Generator(np.random.Philox(key=[seed, (purpose << 48) + number]))
