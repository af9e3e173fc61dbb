# SPDX-License-Identifier: Apache-2.0
"""Checks of options and of a configuration's fields, whose errors name them.

A dataclass of options calls `check_fields` when it is made, for the kinds of all of its
fields, and then the checks of ranges for those that have one.
"""

import dataclasses
import functools
import math
import os
import types
import typing
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# What is counted here has 32 bits on the device.
_MOST = (1 << 31) - 1
_LARGEST = float(np.finfo(np.float32).max)


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
    if value is not None and not _is_whole(value):
        raise ValueError(f"{name} must be a whole number, not {value!r}")


def check_fields(config: Any, *, large: Collection[str] = ()) -> None:
    """Refuse fields of another kind than a dataclass says, and numbers out of reach.

    A whole number has 32 bits at most; a real one is finite, in float32 too.

    Args:
      config: an instance of a dataclass. A field with None among its kinds may be None.
      large: fields whose whole numbers may be larger.

    Raises:
      ValueError: names the field, what it has to be, and what it is.

    Example:
      >>> @dataclasses.dataclass
      ... class Options:
      ...     rate: float = 0.1
      >>> check_fields(Options(math.nan))
      Traceback (most recent call last):
      ValueError: rate must be a finite number, not nan
    """
    for name, kinds in _kinds_of(type(config)).items():
        value = getattr(config, name)
        if not any(_is_of(value, kind) for kind in kinds):
            raise ValueError(f"{name} must be {_describe(kinds)}, not {value!r}")
        if _is_whole(value) and name not in large and abs(value) > _MOST:
            bound = f"at most {_MOST}" if value > 0 else f"at least {-_MOST}"
            raise ValueError(f"{name} must be {bound}, not {value}")


@functools.cache
def _kinds_of(kind: type) -> dict[str, tuple[Any, ...]]:
    """Return the alternatives that the annotation of each field names."""
    hints = typing.get_type_hints(kind)
    kinds = {}
    for field in dataclasses.fields(typing.cast(Any, kind)):
        hint = hints[field.name]
        is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds[field.name] = typing.get_args(hint) if is_union else (hint,)
    return kinds


def _is_of(value: Any, kind: Any) -> bool:
    """Return whether a value is of an annotated kind, as far as that can be told."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return any(value == each and type(value) is type(each) for each in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[-1] is Ellipsis:
            return all(_is_of(each, arguments[0]) for each in value)
        return len(value) == len(arguments) and all(map(_is_of, value, arguments))
    if kind is int:
        return _is_whole(value)
    if kind is float:
        is_real = isinstance(value, float | np.floating) or _is_whole(value)
        return is_real and bool(abs(value) <= _LARGEST)
    if kind in (Path, str):
        return isinstance(value, str | os.PathLike)
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _describe(kinds: Sequence[Any]) -> str:
    """Format the alternatives of a field."""
    named = {
        int: "a whole number",
        float: "a finite number",
        bool: "true or false",
        str: "text",
        Path: "a path",
        type(None): "None",
    }
    words = []
    for kind in kinds:
        if typing.get_origin(kind) is typing.Literal:
            words += map(repr, typing.get_args(kind))
        elif typing.get_origin(kind) is tuple:
            words.append(f"a tuple, {kind}")
        else:
            words.append(named.get(kind) or f"a {kind.__name__}")
    return " or ".join(words)


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


def check_named(options: object, *names: str) -> None:
    """Refuse options that are given and empty, as `--field "$FIELD"` may be.

    Args:
      options: of a command.
      names: of its fields, each a name or None.

    Raises:
      ValueError: names the option.
    """
    for name in names:
        if getattr(options, name) == "":
            raise ValueError(f"--{name} is empty; name one, or leave it out")


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


def check_seed(config: object, num_seeds: int = 1) -> None:
    """Refuse a seed of more than 32 bits: of others only these would be used.

    Args:
      config: has a field `seed`.
      num_seeds: that are used from this one on.

    Raises:
      ValueError: it is negative or too large.
    """
    why = "or two seeds would draw the same"
    check_below(config, (1 << 32) + 1 - num_seeds, "seed", why=why)


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
