# SPDX-License-Identifier: Apache-2.0
"""Conversion of configurations to JSON values."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any


def to_plain(value: Any, of_path: Callable[[Path], Any] = str) -> Any:
    """Convert dataclasses and tuples to dictionaries and lists.

    Args:
      value: a configuration, or a field of one.
      of_path: converts a path.

    Returns:
      A JSON value; the dictionary of a dataclass begins with its name, as "type".

    Example:
      >>> to_plain((Path("data"), 1, None))
      ['data', 1, None]
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: to_plain(getattr(value, field.name), of_path)
            for field in dataclasses.fields(value)
        }
        return {"type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [to_plain(item, of_path) for item in value]
    return of_path(value) if isinstance(value, Path) else value
