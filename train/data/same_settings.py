# SPDX-License-Identifier: Apache-2.0
"""Whether settings are those that something was prepared by.

What names a text or a file does not count, but what it holds: a text that was moved, or
is named from another directory, is the same text.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from train.data.config import IMMATERIAL, DataConfig, describe
from train.from_plain import meaning_of_absence

# Fields of a source that say where it lies; its content has a digest of its own.
_PLACES = {"patterns", "data_dir"}


def differing(held: Mapping[str, Any], data: DataConfig) -> list[str]:
    """Return the names of settings that were recorded otherwise.

    A field that the record lacks came later, and counts if it is not what its absence
    meant.

    Args:
      held: a record of `train.data.config.describe`.
      data: the settings of now.
    """
    now = describe(data)
    whole = [name for name in ("format", "kind of data") if held.get(name) != now[name]]
    return whole or _differing(held, data, now)


def names_differ(held: Mapping[str, Any], data: DataConfig) -> bool:
    """Return whether a text is named otherwise than it was recorded."""
    before, now = held.get("source"), describe(data)["source"]
    if not isinstance(before, dict):
        return True
    return any(
        _absolute(before.get(name)) != _absolute(now.get(name)) for name in _PLACES
    )


def _absolute(value: Any) -> Any:
    match value:
        case str():
            return str(Path(value).expanduser().absolute())
        case list():
            return [_absolute(each) for each in value]
        case {"path": path}:
            return _absolute(path)
    return value


def _differing(
    held: Mapping[str, Any], config: Any, now: Mapping[str, Any]
) -> list[str]:
    names, absent = [], meaning_of_absence(type(config))
    for field in dataclasses.fields(config):
        if field.name in IMMATERIAL or field.name in _PLACES:
            continue
        value = getattr(config, field.name)
        if field.name not in held:
            is_other = field.name not in absent or value != absent[field.name]
        else:
            is_other = _is_other(held[field.name], value, now[field.name])
        names += [field.name] if is_other else []
    return names


def _is_other(held: Any, value: Any, now: Any) -> bool:
    if dataclasses.is_dataclass(value):
        is_like = isinstance(held, dict) and held.get("type") == now["type"]
        return not is_like or bool(_differing(held, value, now))
    if isinstance(value, Path) and isinstance(held, dict) and held.get("content"):
        return held["content"] != now["content"]
    return held != now
