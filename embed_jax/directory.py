# SPDX-License-Identifier: Apache-2.0
"""Directories that appear whole or not at all, whatever happens on the way."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(
    path: str | os.PathLike[str], *, marker: str, overwrite: bool
) -> Iterator[Path]:
    """Give an empty directory to write to, which becomes `path` at the end.

    It lies beside `path` and is renamed, so `path` is never half of what it should be.
    After an exception everything is as it was before.

    Args:
      path: the directory to make; its parents are made too.
      marker: a file that every directory of this kind holds. One without it is not
        replaced, unless it is empty.
      overwrite: whether a directory may be replaced, with all that lies in it.

    Raises:
      FileExistsError: `path` exists and `overwrite` is False, or it is of another kind.
    """
    target = Path(path)
    if target.exists():
        if not overwrite:
            raise FileExistsError(f"{target} exists; pass overwrite=True to replace it")
        is_empty = target.is_dir() and not any(target.iterdir())
        if not is_empty and not (target / marker).is_file():
            raise FileExistsError(f"{target} is no model; not replaced")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{target.name}.", dir=target.parent
    ) as temporary:
        fresh = Path(temporary, "new")
        fresh.mkdir()
        yield fresh
        old = Path(temporary, "old")
        with contextlib.suppress(FileNotFoundError):
            target.rename(old)
        try:
            fresh.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
