# SPDX-License-Identifier: Apache-2.0
"""Waiting until what was written would survive a power failure."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(new: Path, target: Path) -> None:
    """Give a file that is written the name it is for, on the disk in this order.

    Its content first, then the name: after a loss of power `target` is either what it
    was before or all of the new file. They must lie on one file system.

    Raises:
      OSError: the disk is full or fails; `target` may be the new file already, where
        the names in its folder could not be synced.
    """
    sync(new)
    new.replace(target)
    sync(target.parent)


def sync_all(directory: Path) -> None:
    """Wait until a directory is on the disk, with all that lies in it."""
    for folder, _, files in os.walk(directory):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))
