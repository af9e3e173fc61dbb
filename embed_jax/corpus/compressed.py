# SPDX-License-Identifier: Apache-2.0
"""Opening of files that may be compressed, by their last ending."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from embed_jax.files.mistaken import HEAD_BYTES, mistaken_for

_MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
_NAMES = {".gz": "gzip", ".zst": "zstd"}


def plain_name(path: Path) -> str:
    """Return the name of a file as it would be if it were not compressed.

    Example:
      >>> plain_name(Path("texts/a.jsonl.zst"))
      'a.jsonl'
    """
    return path.stem if path.suffix in _MAGIC else path.name


@contextmanager
def open_decompressed(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes; `.gz` and `.zst` are decompressed on the way.

    Args:
      path: of the file.

    Raises:
      ValueError: while it is read: it is cut short, damaged, or not compressed; names
        the cause. Or pyarrow is missing, which decompresses `.zst`.
      OSError: the file cannot be read.
    """
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as compressed:
            try:
                yield cast(io.BufferedReader, compressed)  # has `peek` too
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(_bad(path, error)) from error
    elif path.suffix == ".zst":
        try:
            import pyarrow as pa
        except ImportError as error:
            raise ValueError(
                f"{path} is read with pyarrow, which is missing: pip install pyarrow"
            ) from error
        with path.open("rb") as file:
            stream = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
            try:
                yield io.BufferedReader(cast(io.RawIOBase, stream))
            except OSError as error:
                if error.errno is not None:  # of the disk
                    raise
                raise ValueError(_bad(path, error)) from error
    else:
        with path.open("rb") as file:
            yield file


def _bad(path: Path, error: Exception) -> str:
    name = _NAMES[path.suffix]
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if "too much memory" in str(error):
        return f"{path} is packed with too long a window; unpack it: unzstd --long=31"
    if head.startswith(_MAGIC[path.suffix]):
        return f"{path} is damaged or cut short: {error}"
    cause = mistaken_for(head, text=True)
    if cause:
        return f"{path} is not {name} but {cause}"
    return (
        f"{path} is damaged, or not {name}: if it is text, leave {path.suffix} out of "
        "its name"
    )
