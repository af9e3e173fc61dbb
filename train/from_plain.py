# SPDX-License-Identifier: Apache-2.0
"""Conversion of JSON values back to configurations, see `train.plain`.

A field that came later has a default. Where configurations without the field meant
another value, the field says so, and files of that time are read with it:

    trust_of_all: bool = dataclasses.field(default=False, metadata={"formerly": True})
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from embed_jax.files.json_file import json_text
from embed_jax.suggest import suggest
from train.plain import to_plain

Config = TypeVar("Config")


def from_plain(kind: type[Config], value: Mapping[str, Any], place: str = "") -> Config:
    """Convert a JSON object, as `to_plain` gives it, to a dataclass.

    Args:
      kind: the dataclass; a field that the object lacks has the value of its metadata
        "formerly", if there is one, or else its default.
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
        **{name: value for name, value in _formerly(kind).items() if name not in given},
        **{
            name: _value(wanted[name], held, f"{place}{name}")
            for name, held in given.items()
        },
    )


def completed(config: Any, held: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded configuration with the fields that came after it.

    Args:
      config: a configuration of today.
      held: what `to_plain` gave for one of an earlier version. An object in it of
        another class than at the same place of `config` is returned as it is.

    Example:
      >>> @dataclasses.dataclass
      ... class Shape:
      ...     width: int
      ...     name: str = dataclasses.field(default="b", metadata={"formerly": "a"})
      >>> completed(Shape(4), {"type": "Shape", "width": 3})
      {'type': 'Shape', 'width': 3, 'name': 'a'}
    """
    full = dict(held)
    later = meaning_of_absence(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in held:
            if field.name in later:
                full[field.name] = json.loads(json_text(to_plain(later[field.name])))
            continue
        inner = held[field.name]
        if _are_of_one_class(value, inner):
            full[field.name] = completed(value, inner)
    return full


def as_recorded(config: Config, held: Mapping[str, Any]) -> Config:
    """Return a configuration as it was meant before it had some of its fields.

    Args:
      config: a configuration of today.
      held: what `to_plain` gave for one of an earlier version. Where it lacks a field
        that `config` leaves at its default, the field becomes what its absence meant.

    Example:
      >>> @dataclasses.dataclass
      ... class Shape:
      ...     width: int
      ...     name: str = dataclasses.field(default="b", metadata={"formerly": "a"})
      >>> as_recorded(Shape(4), {"type": "Shape", "width": 3})
      Shape(width=4, name='a')
      >>> as_recorded(Shape(4), {"type": "Shape", "width": 3, "name": "b"})
      Shape(width=4, name='b')
    """
    changes: dict[str, Any] = {}
    former = _formerly(type(config))
    for field in dataclasses.fields(typing.cast(Any, config)):
        value = getattr(config, field.name)
        if field.name not in held:
            if field.name in former and value == _default_of(field):
                changes[field.name] = former[field.name]
        elif _are_of_one_class(value, held[field.name]):
            changes[field.name] = as_recorded(value, held[field.name])
    return dataclasses.replace(typing.cast(Any, config), **changes)


def _are_of_one_class(value: Any, held: Any) -> bool:
    return (
        dataclasses.is_dataclass(value)
        and isinstance(held, Mapping)
        and held.get("type") == type(value).__name__
    )


def _formerly(kind: Any) -> dict[str, Any]:
    """Return what an absent field meant, where that is not its default."""
    return {
        field.name: field.metadata["formerly"]
        for field in dataclasses.fields(kind)
        if "formerly" in field.metadata
    }


def meaning_of_absence(kind: Any) -> dict[str, Any]:
    """Return what each absent field means; one without a default was never absent."""
    defaults = {field.name: _default_of(field) for field in dataclasses.fields(kind)}
    known = {
        name: value
        for name, value in defaults.items()
        if value is not dataclasses.MISSING
    }
    return known | _formerly(kind)


def _default_of(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


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
