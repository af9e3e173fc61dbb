# SPDX-License-Identifier: Apache-2.0
"""Sizes and checksums of the files that we write, in one small file beside them.

    {"block_bytes": 16777216,
     "files": {"config.json": {"bytes": 512, "crc32": ["0a1b2c3d"]}, …},
     "checksum": "4e5f6071"}

Each block of a file has a CRC-32 of its own, so that several are read at once: many
gigabytes a second, which is seconds for a corpus that is trained on for days. Other
readers of the directory pass over checksums.json. Without it nothing is checked.
"""

import os
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from embed_jax.files.checksum import as_digits
from embed_jax.files.json_file import json_text, read_json
from embed_jax.files.output_file import open_output
from embed_jax.files.sealed import sealed, unsealed

CHECKSUMS = "checksums.json"

BLOCK_BYTES = 1 << 24
"""How much of a file one checksum is of."""

# More threads read no faster, and each holds a block.
_MOST_THREADS = 8


class Remedies(NamedTuple):
    """What messages advise.

    Attributes:
      file: when a file is not what was written.
      checksums: when checksums.json itself is damaged.
    """

    file: str
    checksums: str


SAVED = Remedies(
    f"fetch or write it again, or delete {CHECKSUMS} if you edited it on purpose",
    "delete it, and the files beside it are read unchecked",
)
"""For a directory whose files people may replace."""


class _Block(NamedTuple):
    path: Path
    start: int
    size: int


def write_checksums(directory: Path, names: Iterable[str] | None = None) -> None:
    """Write checksums.json for files in a directory, atomically.

    Args:
      directory: of the files.
      names: of the files, which are complete; by default all that lie there.

    Raises:
      OSError: a file cannot be read, or the disk is full.
    """
    if names is None:
        names = [path.name for path in directory.iterdir() if path.is_file()]
    paths = [directory / name for name in sorted(set(names) - {CHECKSUMS})]
    sizes = [path.stat().st_size for path in paths]
    checksums = _checksums_of(paths, sizes)
    files = {
        path.name: {"bytes": size, "crc32": held}
        for path, size, held in zip(paths, sizes, checksums, strict=True)
    }
    content = sealed({"block_bytes": BLOCK_BYTES, "files": files})
    with open_output(directory / CHECKSUMS) as file:
        file.write((json_text(content, indent=2) + "\n").encode())


def check_files(
    directory: Path,
    names: Iterable[str] | None = None,
    *,
    remedies: Remedies = SAVED,
    all_there: bool = False,
) -> bool:
    """Hold files against the checksums.json beside them, if there is one.

    Args:
      directory: of the files.
      names: of the files that are going to be read; by default all that are listed.
        Files that are not listed are not checked.
      remedies: what messages advise.
      all_there: whether a file that was removed is refused, or passed over: whoever
        needs it then says so.

    Returns:
      Whether there are checksums; earlier versions wrote none.

    Raises:
      ValueError: a file is not as it was written; names it and the remedy.
      OSError: one cannot be read.
    """
    source = directory / CHECKSUMS
    if not source.is_file():
        return False
    listed = _read(source, remedies)
    paths = []
    for name in listed if names is None else names:
        path = directory / name
        if path.is_file():
            paths += [path] * (name in listed)
        elif all_there:
            raise ValueError(f"{path}: no such file; {remedies.file}")
    sizes = [listed[path.name]["bytes"] for path in paths]
    # The size tells of a file that was cut short without reading any.
    is_cut = [
        path.stat().st_size != size for path, size in zip(paths, sizes, strict=True)
    ]
    found = [] if any(is_cut) else _checksums_of(paths, sizes)
    for index, path in enumerate(paths):
        if is_cut[index] or (found and found[index] != listed[path.name]["crc32"]):
            raise ValueError(
                f"{path} is damaged: it is not what was written ({CHECKSUMS}); "
                f"{remedies.file}"
            )
    return True


def _read(source: Path, remedies: Remedies) -> dict[str, dict[str, Any]]:
    """Read and check the file of checksums itself."""
    try:
        content = unsealed(read_json(source), str(source))
        is_ours = content.keys() == {"block_bytes", "files"} and all(
            Path(name).name == name
            and len(entry["crc32"]) == len(_starts(entry["bytes"]))
            for name, entry in content["files"].items()
        )
        if is_ours and content["block_bytes"] == BLOCK_BYTES:
            return content["files"]
    except ValueError as error:
        raise ValueError(f"{error}; {remedies.checksums}") from error
    except (KeyError, TypeError, AttributeError):
        pass
    raise ValueError(
        f"{source} is damaged: it holds no checksums; {remedies.checksums}"
    )


def _starts(size: int) -> range:
    """Return where the blocks of a file start; an empty one has a block too."""
    return range(0, max(size, 1), BLOCK_BYTES)


def _checksums_of(paths: Sequence[Path], sizes: Sequence[int]) -> list[list[str]]:
    """Return the checksums of each file's blocks."""
    blocks = [
        _Block(path, start, min(BLOCK_BYTES, size - start))
        for path, size in zip(paths, sizes, strict=True)
        for start in _starts(size)
    ]
    if len(blocks) == len(paths) and sum(sizes) < BLOCK_BYTES:
        checksums = list(map(_checksum, blocks))  # sooner than threads have started
    else:
        with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
            checksums = list(pool.map(_checksum, blocks))
    of_file: dict[Path, list[str]] = {path: [] for path in paths}
    for block, checksum in zip(blocks, checksums, strict=True):
        of_file[block.path].append(checksum)
    return [of_file[path] for path in paths]


def _checksum(block: _Block) -> str:
    with block.path.open("rb", buffering=0) as file:
        file.seek(block.start)
        return as_digits(zlib.crc32(file.read(block.size)))
