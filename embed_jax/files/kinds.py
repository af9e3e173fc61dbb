# SPDX-License-Identifier: Apache-2.0
"""What commands make, and how it is recognised: `--overwrite` replaces nothing else.

A name is no mark: what is ours is known by what stands in it. docs/decisions/outputs.md
lists the marks.
"""

import fnmatch
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARK = "written_by"
"""Where a published format has room for it, what a model says of who saved it."""
# The marks of a file are near its beginning, and a damaged file has them as well.
_HEAD_BYTES = 1 << 14
# Python writes it wherever a program of the directory was imported.
_ALWAYS_OURS = ("__pycache__",)


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes:
      name: with its article, for messages.
      is_ours: returns whether a file is of this kind; looks at its content alone.
    """

    name: str
    is_ours: Callable[[Path], bool]


@dataclass(frozen=True)
class DirectoryKind:
    """A kind of directory, which is replaced whole.

    Attributes:
      name: with its article, for messages.
      marker: a file that every directory of this kind has.
      is_ours: returns whether a directory with that file is ours.
      files: globs of the names that it may hold; whatever else is in it is somebody's.
    """

    name: str
    marker: str
    is_ours: Callable[[Path], bool] = Path.is_dir
    files: Sequence[str] = ("*",)

    def foreign(self, path: Path) -> str | None:
        """Return the first name in a directory that nothing of ours has, or None."""
        known = (*self.files, self.marker, *_ALWAYS_OURS)
        for name in sorted(entry.name for entry in path.iterdir()):
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in known):
                return name
        return None


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file; none if it cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(_HEAD_BYTES)
    return b""


def hdf5_with(*marks: str) -> Callable[[Path], bool]:
    """Return a check of HDF5 files: whether all marks are among their attributes.

    The bytes are looked at, not the structure, which damage may have made unreadable,
    and which is not to be trusted in somebody else's file.

    Args:
      *marks: names of attributes of the root, or their texts.
    """

    def is_ours(path: Path) -> bool:
        head = head_of(path)
        # Before the file proper there may be a block of its writer's.
        return b"\x89HDF\r\n\x1a\n" in head and all(
            mark.encode() in head for mark in marks
        )

    return is_ours


def holding(*marks: str) -> Callable[[Path], bool]:
    """Return a check of files: whether all marks are near their beginning."""

    def is_ours(path: Path) -> bool:
        head = head_of(path)
        return all(mark.encode() in head for mark in marks)

    return is_ours


def text_with(*beginnings: str) -> Callable[[Path], bool]:
    """Return a check of text files: whether they begin with one of some texts."""

    def is_ours(path: Path) -> bool:
        return head_of(path).startswith(tuple(each.encode() for each in beginnings))

    return is_ours


def json_with(*keys: str) -> Callable[[Path], bool]:
    """Return a check of JSON files: whether they hold an object with some keys.

    In a list it is the first object that counts, and in JSON lines the first line.
    """

    def is_ours(path: Path) -> bool:
        content: Any = None
        # Not `read_json`: what is wrong with somebody else's file is not asked here.
        with suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
            first = file.readline()
            try:
                content = json.loads(first)
            except ValueError:
                content = json.loads(first + file.read())
        if isinstance(content, list) and content:
            content = content[0]
        return isinstance(content, dict) and content.keys() >= set(keys)

    return is_ours
