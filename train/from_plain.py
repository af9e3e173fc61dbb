# SPDX-License-Identifier: Apache-2.0
"""Conversion of JSON values back to configurations, see `train.plain`."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from embed_jax.suggest import suggest

Config = TypeVar("Config")


def from_plain(kind: type[Config], value: Mapping[str, Any], place: str = "") -> Config:
    """Convert a JSON object, as `to_plain` gives it, to a dataclass.

    Args:
      kind: the dataclass; a field that the object lacks has its default.
      value: the object; its "type" is ignored.
      place: where it stands, for messages.

    Raises:
      ValueError: a field that the class lacks, or a value that is none of its type;
        names it.

    Example:
      >>> @dataclasses.dataclass
      ... class Shape:
      ...     width: int
      ...     name: str | None = None
      >>> from_plain(Shape, {"type": "Shape", "width": 3})
      Shape(width=3, name=None)
    """
    wanted = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(typing.cast(Any, kind))]
    given = {name: held for name, held in value.items() if name != "type"}
    for name in given:
        if name not in names:
            raise ValueError(
                f"{place}{name}: no such field; {suggest(name, names, 'fields')}"
            )
    return kind(
        **{
            name: _value(wanted[name], held, f"{place}{name}")
            for name, held in given.items()
        }
    )


def _value(wanted: Any, held: Any, place: str) -> Any:
    """Return a value of an annotated type."""
    for kind in _alternatives(wanted):
        found = _as_kind(kind, held, place)
        if found is not _NONE_OF_IT:
            return found
    raise ValueError(f"{place}: {held!r} is none of {wanted}")


_NONE_OF_IT = object()


def _alternatives(wanted: Any) -> tuple[Any, ...]:
    if isinstance(wanted, types.UnionType) or typing.get_origin(wanted) is typing.Union:
        return typing.get_args(wanted)
    return (wanted,)


def _as_kind(kind: Any, held: Any, place: str) -> Any:
    """Return a value of one type, or `_NONE_OF_IT`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return held if held in arguments else _NONE_OF_IT
    if origin is tuple:
        if not isinstance(held, list):
            return _NONE_OF_IT
        is_long = len(arguments) == 2 and arguments[1] is Ellipsis
        of_each = [arguments[0]] * len(held) if is_long else list(arguments)
        if len(of_each) != len(held):
            return _NONE_OF_IT
        return tuple(
            _value(each, item, f"{place}[{index}]")
            for index, (each, item) in enumerate(zip(of_each, held, strict=True))
        )
    if dataclasses.is_dataclass(kind):
        is_it = (
            isinstance(held, dict)
            and held.get("type") == typing.cast(type, kind).__name__
        )
        return (
            from_plain(typing.cast(type, kind), held, f"{place}.")
            if is_it
            else (_NONE_OF_IT)
        )
    if kind is types.NoneType:
        return None if held is None else _NONE_OF_IT
    if kind is Path:
        return Path(held) if isinstance(held, str) else _NONE_OF_IT
    if kind is float and type(held) is int:
        return float(held)
    return held if type(held) is kind else _NONE_OF_IT
