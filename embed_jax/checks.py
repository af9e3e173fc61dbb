# SPDX-License-Identifier: Apache-2.0
"""Checks of a configuration's fields, each with the message that names the field."""


def check_at_least(config: object, least: int, *names: str, why: str = "") -> None:
    """Refuse fields below a minimum.

    Args:
      config: has the fields as attributes.
      least: the smallest value allowed.
      names: of the fields.
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
        value = getattr(config, name)
        if value < least:
            reason = f", {why}" if why else ""
            raise ValueError(f"{name} must be at least {least}{reason}, not {value}")


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


def check_above(config: object, bound: int, *names: str) -> None:
    """Refuse fields that are not greater than a bound, such as a learning rate of 0.

    Args:
      config: has the fields as attributes.
      bound: the values must be greater.
      names: of the fields; a value of None is allowed.

    Raises:
      ValueError: a field is at or below the bound, or NaN; names it.
    """
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > bound:
            raise ValueError(f"{name} must be above {bound}, not {value}")
