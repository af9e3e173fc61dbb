# SPDX-License-Identifier: Apache-2.0
"""Checksums of the files of a store of encoded text.

They lie in a file of the store, for every other file there the size and the CRC-32 of
each block. All are read once whenever a store is opened: several gigabytes a second,
and several blocks at once, which is seconds for a corpus that is trained on for days.
"""

import json
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embed_jax.files.checksum import as_digits
from embed_jax.files.json_file import read_json
from embed_jax.files.sealed import sealed, unsealed

CHECKSUMS = "checksums.json"
REMEDY = "remove the directory and prepare the text again"

BLOCK_BYTES = 1 << 24
"""How much of a file one checksum is of."""

# More threads read no faster, and each holds a block.
_MOST_THREADS = 8


def write_checksums(directory: Path) -> None:
    """Write the checksums of all files of a directory into it.

    Raises:
      OSError: a file cannot be read, or the disk is full.
    """
    blocks = [
        block
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name != CHECKSUMS
        for block in _blocks(path, path.stat().st_size)
    ]
    files: dict[str, dict] = {}
    for (path, start, size), checksum in zip(blocks, _compute(blocks), strict=True):
        entry = files.setdefault(path.name, {"crc32": []})
        entry["bytes"] = start + size
        entry["crc32"].append(checksum)
    content = sealed({"block_bytes": BLOCK_BYTES, "files": files})
    text = json.dumps(content, sort_keys=True) + "\n"
    (directory / CHECKSUMS).write_text(text, encoding="utf-8")


def check_files(directory: Path) -> bool:
    """Check all files of a directory against their checksums.

    Returns:
      Whether there are checksums; earlier versions wrote none.

    Raises:
      ValueError: a file is missing or has changed since it was written; names it.
      OSError: one cannot be read.
    """
    path = directory / CHECKSUMS
    if not path.exists():
        return False
    content = _read(path)
    blocks, expected = [], []
    for name, entry in content["files"].items():
        file = directory / name
        if not file.is_file():
            raise ValueError(f"{file}: no such file; {REMEDY}")
        if file.stat().st_size != entry["bytes"]:
            raise _damaged(file)
        blocks += _blocks(file, entry["bytes"])
        expected += entry["crc32"]
    for (file, _, _), found, wanted in zip(
        blocks, _compute(blocks), expected, strict=True
    ):
        if found != wanted:
            raise _damaged(file)
    return True


def _read(path: Path) -> dict:
    """Read and check the file of checksums itself."""
    try:
        content = unsealed(read_json(path), str(path))
        is_ours = content.keys() == {"block_bytes", "files"} and all(
            Path(name).name == name
            and len(entry["crc32"]) == len(_spans(entry["bytes"]))
            for name, entry in content["files"].items()
        )
        if content["block_bytes"] == BLOCK_BYTES and is_ours:
            return content
    except ValueError as error:
        raise ValueError(f"{error}; {REMEDY}") from error
    except (KeyError, TypeError, AttributeError):
        pass
    raise ValueError(f"{path} is damaged: it holds no checksums; {REMEDY}")


def _spans(size: int) -> range:
    """Return the starts of the blocks of a file; an empty one has one too."""
    return range(0, max(size, 1), BLOCK_BYTES)


def _blocks(path: Path, size: int) -> list[tuple[Path, int, int]]:
    return [(path, at, min(BLOCK_BYTES, size - at)) for at in _spans(size)]


def _compute(blocks: list[tuple[Path, int, int]]) -> Iterator[str]:
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(_checksum, blocks)


def _checksum(block: tuple[Path, int, int]) -> str:
    path, start, size = block
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        return as_digits(zlib.crc32(file.read(size)))


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is damaged: it is not what was written; {REMEDY}")
