# SPDX-License-Identifier: Apache-2.0
"""Atomic writing of directories: they appear complete or not at all."""

import contextlib
import ctypes
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from embed_jax.files.kinds import DirectoryKind
from embed_jax.files.local_path import local_path
from embed_jax.files.no_room import naming_where_room_lacks
from embed_jax.files.output_file import (
    check_absent,
    check_not_read,
    check_writable,
    meant_by,
)
from embed_jax.files.sync import sync, sync_all

# From Linux's fcntl.h and fs.h: paths as they are, and two names that change places.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def written_whole(
    path: str | os.PathLike[str],
    *,
    marker: str | DirectoryKind,
    overwrite: bool,
    synced: bool = True,
) -> Iterator[Path]:
    """Give an empty directory to write to, which is renamed to `path` at the end.

    It is made beside `path`, so `path` is never incomplete. An exception leaves
    everything as it was before. Where `path` is a symbolic link, its target is
    replaced, and the link stays.

    A directory to replace is exchanged with the new one atomically where the system can
    do so (Linux). Elsewhere a kill between two renames can leave the old one as
    NAME.replaced-…, and nothing at `path`.

    Args:
      path: the directory to make; its parents are made too.
      marker: a file that every directory of this kind has, or the kind. One of another
        kind is not replaced, unless it is empty.
      overwrite: whether a directory may be replaced, with all its files.
      synced: whether to wait until the files would survive a power failure.

    Raises:
      FileExistsError: `path` exists and `overwrite` is False, or it is of another kind;
        if it appeared during the writing, the new directory is kept and named.
    """
    target = meant_by(local_path(path))
    check_replaceable(target, marker=marker, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        naming_where_room_lacks(path),
        tempfile.TemporaryDirectory(
            prefix=f".{target.name}.", dir=target.parent
        ) as temporary,
    ):
        fresh = Path(temporary, "new")
        fresh.mkdir()
        yield fresh
        if synced:
            sync_all(fresh)
        try:
            check_replaceable(target, marker=marker, overwrite=overwrite)
        except FileExistsError as error:  # It was not there when the work began.
            kept = _beside(target, "new")
            fresh.rename(kept)
            raise FileExistsError(f"{error}; what was written is {kept}") from error
        _take_the_place(fresh, target)
        if synced:
            sync(target.parent)


def check_output_directory(
    path: Path,
    kind: DirectoryKind,
    *,
    replace: bool,
    inputs: Iterable[Path | str | None] = (),
) -> None:
    """Check that a directory can be made, and that nothing is lost that is not ours.

    Args:
      path: of the directory; folders above it that are missing will be made.
      kind: of the directory.
      replace: whether a directory of the kind may be replaced.
      inputs: what the same command reads, which must not lie in the directory.

    Raises:
      ValueError: something is read that lies in it, or a file is where a folder is to
        be.
      FileExistsError: the directory exists, and `replace` is False or it is of another
        kind; or it is no directory.
      PermissionError: no folder can be made there.
    """
    target = meant_by(path).absolute()
    above = next(folder for folder in target.parents if folder.exists())
    if not above.is_dir():
        raise ValueError(f"{above} is a file, and {path} is to be made in it")
    check_writable(above)
    if not path.exists():
        return
    if replace or not path.is_dir():
        check_not_read(path, inputs)
    check_absent(path, replace=replace)
    check_replaceable(path, marker=kind, overwrite=True)


def check_replaceable(
    path: Path, *, marker: str | DirectoryKind, overwrite: bool
) -> None:
    """Check that `written_whole` may make or replace a directory.

    Raises:
      FileExistsError: `path` exists and `overwrite` is False, or it is of another kind.
    """
    if not path.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{path} exists; pass overwrite=True to replace it")
    kind = DirectoryKind("of its kind", marker) if isinstance(marker, str) else marker
    if not path.is_dir():
        raise FileExistsError(
            f"{path} is a file, holds no {kind.marker}, and a directory is to be made; "
            "give another output"
        )
    if not any(path.iterdir()):
        return
    if not (path / kind.marker).is_file():
        raise FileExistsError(
            f"{path} holds no {kind.marker}, so it is of another kind; not replaced"
        )
    if not kind.is_ours(path):
        raise FileExistsError(
            f"{path} is not {kind.name} that was written here, and only such a "
            "directory is replaced; move it, or give another output"
        )
    if foreign := kind.foreign(path):
        raise FileExistsError(
            f"{path / foreign} would be lost, for {path} is replaced whole; move it, "
            "or give another output"
        )


def _take_the_place(fresh: Path, target: Path) -> None:
    """Rename `fresh` to `target`, exchanging the two if `target` exists."""
    if not target.exists():
        fresh.rename(target)
        return
    if _exchange(fresh, target):
        return
    old = _beside(target, "replaced")
    target.rename(old)
    try:
        fresh.rename(target)
    except BaseException:
        old.rename(target)
        raise
    old.rename(fresh)


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f"{target.name}.{what}-{secrets.token_hex(4)}")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names atomically; return whether the system could."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False  # neither macOS nor an old C library has it
    names = os.fsencode(one), os.fsencode(other)
    status = rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    return status == 0
