# SPDX-License-Identifier: Apache-2.0
"""Agreement between the processes of one command: small values, and errors.

Every function here is collective: all processes have to call it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils


def from_first(number: int) -> int:
    """Return the first process's number in all processes (a broadcast).

    Args:
      number: of 32 bits.

    Example:
      >>> from_first(7)
      7
    """
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def from_all(number: int) -> list[int]:
    """Return the numbers of all processes, in their order (an all-gather).

    Args:
      number: of 32 bits.

    Example:
      >>> from_all(7)
      [7]
    """
    if jax.process_count() == 1:
        return [number]
    return multihost_utils.process_allgather(np.int32(number)).ravel().tolist()


def total_of_all(numbers: Sequence[int]) -> list[int]:
    """Return the sums of all processes' numbers, each with that of its place.

    Args:
      numbers: of 32 bits, without sign; as many in every process.

    Example:
      >>> total_of_all([7, 0])
      [7, 0]
    """
    if jax.process_count() == 1:
        return list(numbers)
    gathered = multihost_utils.process_allgather(np.array(numbers, np.uint32))
    return gathered.sum(axis=0, dtype=np.uint64).tolist()


@contextmanager
def all_or_none() -> Iterator[None]:
    """Raise in every process if the block raises in one, so that none is left waiting.

    Raises:
      ValueError: the block failed in another process, which reports the reason.
    """
    failure = None
    try:
        yield
    except (ValueError, OSError) as error:
        failure = error
    failed = from_all(int(failure is not None))
    if failure is not None:
        raise failure
    if any(failed):
        raise ValueError(f"process {failed.index(1)} cannot go on, and says why")
