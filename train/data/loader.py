# SPDX-License-Identifier: Apache-2.0
"""Makes batches ahead of the step that needs them; grain has the threads."""

from collections.abc import Iterator
from typing import Any, Protocol, cast, runtime_checkable

import grain

# Batches that lie ready. They are small beside a model, and two hide a slow one.
READY = 4


@runtime_checkable
class Batches(Protocol):
    """Batches by number, each a function of its number alone."""

    def __getitem__(self, number: int) -> Any:
        """Make a batch."""
        ...


class _Steps:
    """The batches of a run, as grain reads a data set."""

    def __init__(self, batches: Batches, num_steps: int) -> None:
        self._batches, self._num_steps = batches, num_steps

    def __len__(self) -> int:
        return self._num_steps

    def __getitem__(self, number: Any) -> Any:
        return self._batches[int(number)]


def load_batches(
    batches: Batches, first: int, last: int, num_threads: int
) -> Iterator[Any]:
    """Yield the batches of steps `first` to `last - 1`, in order.

    Args:
      batches: what makes them.
      first: the first step; going on costs no more than starting.
      last: the step after the last one.
      num_threads: that make batches.
    """
    if first >= last:
        return iter(())
    source = cast(Any, _Steps(batches, last))
    steps = grain.MapDataset.source(source)[first:last]
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=READY)
    return iter(steps.to_iter_dataset(options))
