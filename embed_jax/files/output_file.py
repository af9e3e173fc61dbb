# SPDX-License-Identifier: Apache-2.0
"""Atomic writing of files, and the check of an output path before the work begins."""

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
    """Check that an output path can be written and replaces nothing unasked.

    Raises:
      ValueError: its directory is missing.
      FileExistsError: the file exists, and `replace` is False.
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
    """Return the final target of a symbolic link, and any other path unchanged.

    If the link itself were replaced, the data would be on another disk than intended.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def open_output(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path`, which replaces `path` when the block ends normally.

    Where `path` is a symbolic link, its target is replaced, and the link stays. A block
    that raises leaves nothing behind; a kill leaves at most a file with a new name,
    `path` with eight digits and `.new` appended. The permissions of a replaced file are
    kept.

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
    """Open a file beside `target` under an unused name."""
    stem = os.fsdecode(os.fsencode(target.name)[:_LONGEST_STEM])
    while True:
        new = target.with_name(f"{stem}.{secrets.token_hex(4)}.new")
        with suppress(FileExistsError):
            return new, new.open("x+b")
