# SPDX-License-Identifier: Apache-2.0
"""What to do where training has diverged, for messages."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, cast


class DivergedError(FloatingPointError, ValueError):
    """Training has left the numbers.

    Attributes:
      step: the number of steps after which the state was no longer sound.
    """

    def __init__(self, said: str, step: int = 0) -> None:
        """Take what was seen, and the step of the state that gave it."""
        super().__init__(said)
        self.step = step


def lower_rate(config: Any) -> float:
    """Return a learning rate to try next.

    Args:
      config: a dataclass with a field `learning_rate` that has a default.

    Returns:
      A tenth of its rate, and no more than the default.

    Example:
      >>> @dataclasses.dataclass
      ... class Adam:
      ...     learning_rate: float = 1e-4
      >>> lower_rate(Adam(1e30)), lower_rate(Adam(1e-4))
      (0.0001, 1e-05)
    """
    (default,) = (
        field.default
        for field in dataclasses.fields(config)
        if field.name == "learning_rate"
    )
    return min(float(f"{config.learning_rate / 10:.3g}"), cast(float, default))


@contextlib.contextmanager
def diverging(rates: Mapping[str, float], what: str) -> Iterator[None]:
    """Say what to do where a task's training diverges in this block.

    Args:
      rates: lower learning rates, by the names of their options.
      what: says what is not kept.

    Raises:
      ValueError: in place of a DivergedError; names the options.
    """
    try:
        yield
    except DivergedError as error:
        lower = " ".join(f"--{name} {rate:g}" for name, rate in rates.items())
        raise ValueError(
            f"{error}; {what}. Give a lower learning rate, such as {lower}"
        ) from error
