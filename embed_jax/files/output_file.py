# SPDX-License-Identifier: Apache-2.0
"""Atomic writing of files, and the check of an output path before the work begins."""

import io
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from embed_jax.files.bucket import in_bucket
from embed_jax.files.kinds import FileKind
from embed_jax.files.no_room import naming_where_room_lacks
from embed_jax.files.sync import put_in_place

# Bytes of a name that file systems take, less what a fresh name adds to it.
_LONGEST_STEM = 255 - len(".01234567.new")


def check_output(
    path: Path,
    *,
    replace: bool,
    kind: FileKind | None = None,
    inputs: Iterable[Path | str | None] = (),
) -> None:
    """Check that a file can be written, and that nothing is lost that is not ours.

    Args:
      path: of the file.
      replace: whether a file of `kind` may be replaced.
      kind: None where what is there is continued, not replaced, and checked by who
        does so.
      inputs: what the same command reads; a name that is no path, as of a model on the
        hub, does no harm.

    Raises:
      ValueError: its directory is missing, or it is one of the inputs.
      FileExistsError: the file exists, and `replace` is False or it is of another kind;
        or it is no file.
      PermissionError: its directory cannot be written to.
    """
    parent = meant_by(path).absolute().parent
    if not parent.is_dir():
        raise ValueError(f"{meant_by(path).parent}: no such directory")
    check_writable(parent)
    if not path.exists():
        return
    check_not_read(path, inputs)
    if path.is_dir():
        raise FileExistsError(
            f"{path} is a directory, and a file is to be written; give a name in it"
        )
    if not path.is_file():
        raise FileExistsError(
            f"{path} is a device or a pipe, and a file is to be written; give another "
            "output"
        )
    check_absent(path, replace=replace)
    check_kind(path, kind)


def check_absent(path: Path, *, replace: bool) -> None:
    """Refuse an output, a file or a directory, that would be lost.

    Raises:
      FileExistsError: it is there already, and `replace` does not allow to replace it.
    """
    if path.exists() and not replace:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")


def check_kind(path: Path, kind: FileKind | None) -> None:
    """Refuse to replace a file that is there and that no command of ours has made.

    An empty file holds nothing to lose.

    Raises:
      FileExistsError: names it.
    """
    if kind is None or not path.exists():
        return
    if path.stat().st_size and not kind.is_ours(path):
        raise FileExistsError(
            f"{path} is not {kind.name} that was written here, and only such a file is "
            "replaced; move it, or give another output"
        )


def check_not_read(output: Path, inputs: Iterable[Path | str | None]) -> None:
    """Refuse an output that the same command reads, whichever name or link it has.

    Args:
      output: a file, or a directory, which may hold what is read.
      inputs: paths, or what may be one; None is passed over.

    Raises:
      ValueError: names it.
    """
    for given in filter(None, inputs):
        read = Path(os.path.expanduser(given))  # noqa: PTH111  It may be nobody's home.
        if not os.path.exists(read):  # noqa: PTH110  Names of any length are none.
            continue
        is_within = output.is_dir() and read.resolve().is_relative_to(output.resolve())
        if is_within or read.samefile(output):
            raise ValueError(
                f"{output} would be replaced, and {given} is read; the outputs and "
                "what is read must be different files"
            )


def check_writable(folder: Path) -> None:
    """Refuse a folder that nothing can be written to, before the work begins.

    Raises:
      PermissionError: names it.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(
            f"{folder} cannot be written to; give another output, or make it writable"
        )


def meant_by(path: Path) -> Path:
    """Return the final target of a symbolic link, and any other path unchanged.

    If the link itself were replaced, the data would be on another disk than intended.
    """
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def open_output(path: Path, *, replace: bool = True) -> Iterator[IO[bytes]]:
    """Open a file beside `path`, which replaces `path` when the block ends normally.

    Where `path` is a symbolic link, its target is replaced, and the link stays. A block
    that raises leaves nothing behind; a kill leaves at most a file with a new name,
    `path` with eight digits and `.new` appended. The permissions of a replaced file are
    kept.

    Args:
      path: the file.
      replace: whether to replace what is there when the block ends; if not, and a file
        has come meanwhile, what was written is kept beside it.

    Raises:
      FileExistsError: a file has come meanwhile, and `replace` is False; names both.
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
    if in_bucket(path):
        # An object appears whole, when all of it has come.
        content = io.BytesIO()
        yield content
        path.write_bytes(content.getvalue())
        return
    target = meant_by(path)
    with naming_where_room_lacks(path):
        new, file = _open_fresh(target)
        try:
            with file:
                with suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
                yield file
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        if not replace and target.exists():
            raise FileExistsError(
                f"{path} has come meanwhile; what was written is {new}"
            )
        try:
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
