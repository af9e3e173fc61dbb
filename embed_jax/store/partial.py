# SPDX-License-Identifier: Apache-2.0
"""The folder of a partial store: checking, locking, clearing and removing it."""

from contextlib import suppress
from pathlib import Path

from embed_jax.files.claim import Claim, take
from embed_jax.store.layout import ARRAYS


def partial_of(path: Path) -> Path:
    """Return the folder of the partial store for `path`."""
    return path.with_name(path.name + ".partial")


def parts_of(path: Path) -> Path:
    """Return the folder for the parts of a store that several processes write."""
    return path.with_name(path.name + ".parts")


def check_partial(partial: Path) -> None:
    """Refuse a folder that no writer made: it has files, but not a writer's.

    Raises:
      FileExistsError: names it.
    """
    if not partial.exists():
        return
    names = {entry.name for entry in partial.iterdir()} if partial.is_dir() else {""}
    if not names or names & {"lock", "journal.json"}:
        return
    raise FileExistsError(
        f"{partial} is not of an unfinished store, and one would be written there; "
        "move it, or give another output"
    )


def lock_folder(folder: Path, *, wait: bool = False) -> Claim:
    """Create a folder and lock it against other writers until the claim is closed.

    Raises:
      BlockingIOError: another writer holds it, and `wait` is False; names the process,
        the host and the time.
    """
    while True:
        folder.mkdir(exist_ok=True)
        # A finishing writer may remove the folder in between.
        with suppress(FileNotFoundError):
            return take(folder / "lock", folder, wait=wait)


def clear_partial(partial: Path) -> None:
    """Remove the files of a writer except its lock."""
    # Without its journal the rest is worthless, so that goes first.
    for name in ("journal.json", "journal.new", "finished.h5", *ARRAYS):
        (partial / name).unlink(missing_ok=True)


def remove_partial(partial: Path) -> None:
    """Remove the folder of a writer that holds its lock."""
    clear_partial(partial)
    remove_locked(partial)


def remove_left(partial: Path) -> None:
    """Remove the folder that a kill left beside a finished store, unless it is in use.

    A folder with a journal belongs to a store that is being rewritten, and is kept; so
    is one without a lock, which no writer made.
    """
    if (partial / "lock").exists():
        with suppress(BlockingIOError), lock_folder(partial):
            if not (partial / "journal.json").exists():
                remove_partial(partial)


def remove_locked(folder: Path) -> None:
    """Remove a folder that holds only the lock of this process."""
    (folder / "lock").unlink(missing_ok=True)
    # The next writer may have come as soon as the lock was gone.
    with suppress(OSError):
        folder.rmdir()
