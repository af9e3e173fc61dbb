# SPDX-License-Identifier: Apache-2.0
"""Loading of batches ahead of the training step, in grain's threads."""

from collections.abc import Iterator
from typing import Any, Protocol, cast, runtime_checkable

import grain

# Batches that lie ready. They are small beside a model, and two hide a slow one.
READY = 4


@runtime_checkable
class Batches(Protocol):
    """Random access to batches, each of which depends on its number only."""

    def __getitem__(self, number: int) -> Any:
        """Make a batch."""
        ...


class _Steps:
    """The batches of a run, as a data source of grain."""

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
      batches: makes the batches.
      first: the first step; resuming costs no more than starting.
      last: the step after the last one.
      num_threads: threads that make batches.
    """
    if first >= last:
        return iter(())
    source = cast(Any, _Steps(batches, last))
    steps = grain.MapDataset.source(source)[first:last]
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=READY)
    return iter(steps.to_iter_dataset(options))
