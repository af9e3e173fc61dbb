# SPDX-License-Identifier: Apache-2.0
"""A file that is written whole or not at all, and refused before the work begins."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from embed_jax.files.sync import put_in_place

# Bytes of a name that file systems take, less what a fresh name adds to it.
_LONGEST_STEM = 255 - len(".01234567.new")


def check_output(path: Path, *, replace: bool) -> None:
    """Refuse an output that could not be written, or that would be lost.

    Raises:
      ValueError: its directory is missing.
      FileExistsError: it is there already, and `replace` does not allow to replace it.
    """
    if not meant_by(path).absolute().parent.is_dir():
        raise ValueError(f"{meant_by(path).parent}: no such directory")
    check_absent(path, replace=replace)


def check_absent(path: Path, *, replace: bool) -> None:
    """Refuse an output, a file or a directory, that would be lost.

    Raises:
      FileExistsError: it is there already, and `replace` does not allow to replace it.
    """
    if path.exists() and not replace:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")


def meant_by(path: Path) -> Path:
    """Return what a symbolic link names in the end, and any other path as it is.

    A link that were replaced would leave the data on another disk than it names.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def open_output(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside `path`, which takes its place when the block ends well.

    Where `path` is a symbolic link, the file that it names is replaced, and the link
    stays. A block that raises leaves nothing behind; a kill at any moment leaves at
    most a file of a name that none had before, `path` with eight digits and `.new`
    appended. Permissions stay those of the file that is replaced.

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
    target = meant_by(path)
    new, file = _open_fresh(target)
    try:
        with file:
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield file
        put_in_place(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _open_fresh(target: Path) -> tuple[Path, IO[bytes]]:
    """Open a file beside `target` under a name that nobody has."""
    stem = os.fsdecode(os.fsencode(target.name)[:_LONGEST_STEM])
    while True:
        new = target.with_name(f"{stem}.{secrets.token_hex(4)}.new")
        with suppress(FileExistsError):
            return new, new.open("x+b")
