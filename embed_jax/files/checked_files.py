# SPDX-License-Identifier: Apache-2.0
"""Sizes and checksums of the files that we write, in one small file beside them.

    {"files": {"config.json": {"bytes": 512, "crc32": "0a1b2c3d"}, …}}

Other readers of the directory pass over checksums.json. Without it nothing is checked.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embed_jax.files.checksum import crc32_file
from embed_jax.files.json_file import read_json
from embed_jax.files.output_file import open_output

CHECKSUMS = "checksums.json"


def write_checksums(directory: Path, names: Iterable[str] | None = None) -> None:
    """Write checksums.json for files in a directory, atomically.

    Args:
      directory: of the files.
      names: of the files, which are complete; by default all that lie there.
    """
    if names is None:
        names = [path.name for path in directory.iterdir() if path.is_file()]
    files = {name: _state(directory / name) for name in sorted(names)}
    files.pop(CHECKSUMS, None)
    with open_output(directory / CHECKSUMS) as file:
        file.write((json.dumps({"files": files}, indent=2) + "\n").encode())


def check_files(directory: Path, names: Iterable[str] | None = None) -> None:
    """Hold files against the checksums.json beside them, if there is one.

    Args:
      directory: of the files.
      names: of the files that are going to be read; by default all that are listed.
        Files that are not listed are not checked, nor those that were removed.

    Raises:
      ValueError: a file is not as it was written; names it and the remedy.
    """
    source = directory / CHECKSUMS
    if not source.is_file():
        return
    listed = _read(source)
    for name in listed if names is None else names:
        if name not in listed:
            continue
        path = directory / name
        if not path.is_file():
            continue  # Whoever needs it says so.
        size = listed[name].get("bytes")
        # The size tells of a file that was cut short without reading it.
        if path.stat().st_size != size or _state(path) != listed[name]:
            raise ValueError(
                f"{path} is not what was written there ({CHECKSUMS}): damaged, or "
                f"edited; fetch or write it again, or delete {CHECKSUMS} if you "
                "changed it on purpose"
            )


def _read(source: Path) -> dict[str, dict[str, Any]]:
    try:
        files = read_json(source).get("files")
    except ValueError as error:
        raise ValueError(
            f"{error}; delete it, and the files beside it are read unchecked"
        ) from error
    if not isinstance(files, dict) or not all(
        Path(name).name == name and isinstance(state, dict)
        for name, state in files.items()
    ):
        raise ValueError(
            f"{source} is damaged; delete it, and the files beside it are read "
            "unchecked"
        )
    return files


def _state(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "crc32": crc32_file(path)}
