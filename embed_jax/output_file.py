# SPDX-License-Identifier: Apache-2.0
"""A file that is written whole or not at all, and refused before the work begins."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def check_output(path: Path, *, replace: bool) -> None:
    """Refuse an output that could not be written, or that would be lost.

    Raises:
      ValueError: its directory is missing.
      FileExistsError: it is there already, and `replace` does not allow to replace it.
    """
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path.parent}: no such directory")
    if path.exists() and not replace:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")


@contextmanager
def open_output(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside `path`, which takes its place when the block ends well.

    A block that raises leaves nothing behind; a kill at any moment leaves at most
    `path` with `.new` appended, which the next run writes over.

    Raises:
      OSError: the disk is full or fails.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "answer.txt"
      >>> with open_output(path) as file:
      ...     _ = file.write(b"42")
      ...     print(path.exists())
      False
      >>> path.read_text()
      '42'
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
