# SPDX-License-Identifier: Apache-2.0
"""Syncing of files and directories to disk, to survive a power failure."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Sync a file, or the entries of a folder, to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(new: Path, target: Path) -> None:
    """Sync a file, then rename it to `target` and sync the folder.

    After a power failure `target` is either the old file or the whole new one. Both
    paths must be on one file system.

    Raises:
      OSError: the disk is full or fails; `target` may be the new file already, if only
        the sync of its folder failed.
    """
    sync(new)
    new.replace(target)
    sync(target.parent)


def sync_all(directory: Path) -> None:
    """Sync a directory and everything in it to disk."""
    for folder, _, files in os.walk(directory):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
