# SPDX-License-Identifier: Apache-2.0
"""Equality of what holds arrays: by value, as for everything else in Python.

What Python makes of a tuple or dataclass of arrays raises, for an array of answers is
neither true nor false. Free of jax, like the tokens that it is for.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

Class = TypeVar("Class", bound=type)


def equal_by_value(cls: Class) -> Class:
    """Have `==` compare the arrays that instances of a class hold, number by number.

    Two are equal if they are of one class and all that they hold is: arrays by shape
    and numbers, whether of NumPy or of jax; the rest by its own `==`. A NaN equals
    nothing, but an array always equals itself. Such instances cannot be hashed.
    """

    def equals(self: Any, other: object) -> bool:
        return type(self) is type(other) and _same(_parts(self), _parts(other))

    def differs(self: Any, other: object) -> bool:
        return not equals(self, other)

    cls.__eq__ = equals  # pyright: ignore[reportAttributeAccessIssue]
    cls.__ne__ = differs  # pyright: ignore[reportAttributeAccessIssue]
    cls.__hash__ = None  # pyright: ignore[reportAttributeAccessIssue]
    return cls


def _parts(thing: Any) -> tuple[Any, ...]:
    if isinstance(thing, tuple):
        return tuple(iter(thing))
    return tuple(getattr(thing, field.name) for field in dataclasses.fields(thing))


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if hasattr(one, "shape") or hasattr(other, "shape"):
        # With None or a tuple NumPy would compare each number, and raise.
        are_arrays = all(
            hasattr(each, "shape") or isinstance(each, int | float)
            for each in (one, other)
        )
        return (
            are_arrays
            and np.shape(one) == np.shape(other)
            and bool(np.array_equal(np.asarray(one), np.asarray(other)))
        )
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            _same(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
