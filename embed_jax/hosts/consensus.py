# SPDX-License-Identifier: Apache-2.0
"""What the processes of one command tell each other before the long work begins."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils


def from_first(number: int) -> int:
    """Return the number that the first process has. All have to ask together.

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
    """Return the number of every process. All have to ask together.

    Args:
      number: of 32 bits.

    Example:
      >>> from_all(7)
      [7]
    """
    if jax.process_count() == 1:
        return [number]
    return multihost_utils.process_allgather(np.int32(number)).ravel().tolist()


@contextmanager
def all_or_none() -> Iterator[None]:
    """Let a block fail in every process if it fails in one, so that none waits.

    Raises:
      ValueError: it failed in another process, whose own message says why.
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
