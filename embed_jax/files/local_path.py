# SPDX-License-Identifier: Apache-2.0
"""Paths as users give them: `~` is expanded, and addresses of elsewhere are refused."""

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

# `Path` keeps one slash of `gs://bucket`. A single letter is a drive, not a scheme.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(.*)")
_REMEDIES = {
    "hf": "give the model's id on the hub, such as owner/name",
    "file": "give the path alone",
    "gs": "copy it to this machine or mount it, and give the path (a run and a model "
    "may be in a bucket)",
}

CONVERTED_BY = "converted_by"
"""In the metadata of a dataclass's field: the function to convert its paths with, for
one that may name more than files of this machine."""

Given = TypeVar("Given")


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return the path that a user means, with his home in the place of `~`.

    Args:
      path: as given on a command line or by a caller.

    Raises:
      ValueError: it is an address of elsewhere, such as gs://bucket, or the home of a
        user who does not exist.

    Example:
      >>> local_path("gs://bucket/vectors.h5")
      Traceback (most recent call last):
      ValueError: gs://bucket/vectors.h5: no local path, and gs:// is not read or \
written here; copy it to this machine or mount it, and give the path (a run and a \
model may be in a bucket)
    """
    text = os.fspath(path)
    if match := _ADDRESS.match(text):
        scheme, rest = match[1], match[2].lstrip("/")
        otherwise = "copy it to this machine or mount it, and give the path"
        raise ValueError(
            f"{scheme}://{rest}: no local path, and {scheme}:// is not read or written "
            f"here; {_REMEDIES.get(scheme.lower(), otherwise)}"
        )
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # nobody has such a home
        raise ValueError(f"{text}: {error}; write ./{text} for that name") from error


def with_local_paths(given: Given) -> Given:
    """Return a command or a configuration with `local_path` of every `Path` it holds.

    Args:
      given: a dataclass; those that it holds, in tuples too, are gone through as well.
        A field with `CONVERTED_BY` in its metadata is converted by that.

    Raises:
      ValueError: see `local_path`.

    Example:
      >>> from embed_jax.explore.nearest import Command
      >>> with_local_paths(Command(Path("~/vectors.h5"), "bank")).store.is_absolute()
      True
    """
    return _converted(given)


def _converted(value: Any, convert: Callable[[Path], Path] = local_path) -> Any:
    """Return the value itself where nothing in it is another path."""
    if isinstance(value, Path):
        path = convert(value)
        return value if path == value else path
    if type(value) is tuple:
        items = tuple(_converted(item, convert) for item in value)
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changes = {}
    for field in dataclasses.fields(value):
        before = getattr(value, field.name)
        after = _converted(before, field.metadata.get(CONVERTED_BY, local_path))
        if after is not before:
            changes[field.name] = after
    # Most have none, and what is derived in `__post_init__` need not be made again.
    return dataclasses.replace(value, **changes) if changes else value
