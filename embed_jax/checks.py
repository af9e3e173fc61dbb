# SPDX-License-Identifier: Apache-2.0
"""Range checks of options and of a configuration's fields, whose errors name them."""

import math

import numpy as np


def at_least(name: str, value: int | float | None, least: int, why: str = "") -> None:
    """Refuse a value below a number, NaN and infinity.

    Args:
      name: of the option, for the message.
      value: None is allowed.
      least: the smallest value allowed.
      why: the reason for the minimum, for the message.

    Raises:
      ValueError: it is below; names the option.
    """
    if value is not None and not least <= value < math.inf:
        reason = f", {why}" if why else ""
        raise ValueError(f"{name} must be at least {least}{reason}, not {value}")


def check_whole(name: str, value: object) -> None:
    """Refuse what is no whole number, such as the text of one.

    Args:
      name: of the option, for the message.
      value: an int of Python or NumPy; None is allowed.

    Raises:
      ValueError: it is of another type; names the option.

    Example:
      >>> check_whole("max_length", "64")
      Traceback (most recent call last):
      ValueError: max_length must be a whole number, not '64'
    """
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value is not None and not is_whole:
        raise ValueError(f"{name} must be a whole number, not {value!r}")


def check_at_least(config: object, least: int, *names: str, why: str = "") -> None:
    """Refuse fields below a minimum, see `at_least`.

    Args:
      config: has the fields as attributes.
      least: the smallest value allowed.
      names: of the fields; a value of None is allowed.
      why: the reason for the minimum, for the message.

    Raises:
      ValueError: a field is below `least`; names it.

    Example:
      >>> from types import SimpleNamespace
      >>> check_at_least(SimpleNamespace(batch_size=0), 1, "batch_size")
      Traceback (most recent call last):
      ValueError: batch_size must be at least 1, not 0
    """
    for name in names:
        at_least(name, getattr(config, name), least, why)


def check_rates(config: object, *names: str) -> None:
    """Refuse rates, such as dropout probabilities, outside [0, 1).

    Args:
      config: has the fields as attributes.
      names: of the fields; a value of None is allowed.

    Raises:
      ValueError: a field is negative, 1 or above, or NaN; names it.
    """
    for name in names:
        rate = getattr(config, name)
        if rate is not None and not 0 <= rate < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, not {rate}")


def check_below(config: object, bound: int, *names: str, why: str = "") -> None:
    """Refuse fields that are negative, or not below a bound, such as a seed of 2^32.

    Args:
      config: has the fields as attributes.
      bound: the values must be less.
      names: of the fields; a value of None is allowed.
      why: the reason, for the message.

    Raises:
      ValueError: a field is negative, at the bound, above, or NaN; names it.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 <= value < bound:
            reason = f", {why}" if why else ""
            raise ValueError(
                f"{name} must be at least 0 and below {bound}{reason}, not {value}"
            )


def check_above(config: object, bound: int, *names: str, why: str = "") -> None:
    """Refuse fields that are not greater than a bound, such as a learning rate of 0.

    Args:
      config: has the fields as attributes.
      bound: the values must be greater.
      names: of the fields; a value of None is allowed.
      why: what else is taken, or the reason, for the message.

    Raises:
      ValueError: a field is at the bound, below, infinite or NaN; names it.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not bound < value < math.inf:
            reason = f", {why}" if why else ""
            raise ValueError(f"{name} must be above {bound}{reason}, not {value}")
