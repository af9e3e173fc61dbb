# SPDX-License-Identifier: Apache-2.0
"""One claim for everything that a command fills, so that no two work on one output.

    vectors.h5.claim    beside a file, or a directory that appears whole
    RUN/claim           in a directory that is filled where it is
    vectors.h5.partial/lock   in the folder of an unfinished store

A claim is a file that is locked (`flock`) while its holder works, and says who that is.
The kernel lets go of the lock when a process dies, however it dies, so that a claim is
never stale where locks hold. On a file system whose locks another machine does not see,
what that machine has claimed cannot be asked from here: it stands until it is given
back or removed by hand. Without locks a claim counts as long as its process lives.
docs/decisions/outputs.md has more.
"""

import errno
import fcntl
import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO

from embed_jax.files.bucket import BucketPath
from embed_jax.files.bucket_claim import claim_in_bucket
from embed_jax.files.holder import Holder
from embed_jax.files.json_file import json_text
from embed_jax.files.mounts import locks_hold_everywhere
from embed_jax.files.no_room import naming_where_room_lacks

SUFFIX = ".claim"
_LONGEST_NAME = 255
# What a file system says that has no locks.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
# How often a folder may vanish that others make and remove.
_TRIES = 100
# So long a holder may take to write down who it is.
_SECONDS_TO_WRITE = 1.0


class Claim:
    """A claim that this process holds, until it is closed."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        """Take charge of a file that is open, locked and written."""
        self._file, self._path = file, path

    def close(self) -> None:
        """Give the claim back; the file stays, and names nobody."""
        if not self._file.closed:
            with suppress(OSError):
                self._file.truncate(0)
            self._file.close()

    def remove(self) -> None:
        """Give the claim back and remove its file."""
        # Before the lock is let go of: the next one would lose what it has just made.
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):
                self._path.unlink()
        self.close()

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def take(path: Path, claimed: Path, *, wait: bool = False) -> Claim:
    """Take a claim, or say who holds it.

    Args:
      path: the file of the claim.
      claimed: what is claimed, for the message.
      wait: wait for the holder, of a claim that is held for moments; such a claim names
        nobody.

    Raises:
      FileNotFoundError: the folder of the claim is missing, or was removed meanwhile.
      BlockingIOError: another process holds it; names the process, the host and the
        time.
      FileExistsError: a file of that name is no claim.
    """
    while True:
        with ExitStack() as on_failure:
            file = on_failure.enter_context(path.open("a+b"))
            locked = _lock(file, path, claimed, wait=wait)
            # Who has given it back may have removed it in between.
            with suppress(FileNotFoundError):
                if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    continue
                if not wait:
                    _check_left(file, path, claimed, locked=locked)
                    _write_holder(file, path)
                on_failure.pop_all()
                return Claim(file, path)


@contextmanager
def claim(output: Path) -> Iterator[None]:
    """Claim a file, or a directory that appears whole, while a block writes it.

    The claim lies beside what the path means, so two links to one file are one. A block
    within a block of the same thread may claim the same again. Folders that are missing
    are made; if nothing came into them, they are removed again.

    Args:
      output: need not exist.

    Raises:
      BlockingIOError: another process is writing it; names the process, the host and
        the time.
      OSError: its folder cannot be written to.
    """
    target = Path(os.path.realpath(output))
    with _claimed(target.with_name(_name_beside(target.name)), output):
        yield


@contextmanager
def claim_directory(directory: Path) -> Iterator[None]:
    """Claim a directory that a block fills where it is; it is made if it is missing.

    Otherwise like `claim`. The claim lies in the directory, which may be all that its
    owner can write to. In a bucket it is one that is renewed, see `Lease`.
    """
    if isinstance(directory, BucketPath):
        with claim_in_bucket(directory):
            yield
        return
    target = Path(os.path.realpath(directory))
    with _claimed(target / SUFFIX[1:], directory):
        yield


def is_claim(path: Path) -> bool:
    """Return whether a path has the name of a directory's claim."""
    return path.name == SUFFIX[1:]


_of_thread = threading.local()


@contextmanager
def _claimed(path: Path, claimed: Path) -> Iterator[None]:
    held: set[Path] = _of_thread.__dict__.setdefault("held", set())
    if path in held:
        yield
        return
    made = _make_missing(path.parent)
    try:
        taken = _take(path, claimed)
        held.add(path)
        try:
            yield
        finally:
            held.discard(path)
            taken.remove()
    finally:
        for folder in made:
            with suppress(OSError):  # It has come to hold something.
                folder.rmdir()


def _take(path: Path, claimed: Path) -> Claim:
    for remaining in reversed(range(_TRIES)):
        try:
            return take(path, claimed)
        except (FileNotFoundError, PermissionError) as error:
            # Another process may have made the folder as well, and given up.
            if isinstance(error, PermissionError) or not remaining:
                raise PermissionError(
                    f"{path.parent} cannot be written to ({error.strerror}); give "
                    "another output, or make it writable"
                ) from error
            path.parent.mkdir(parents=True, exist_ok=True)
    raise AssertionError("the last try returns or raises")


def _make_missing(folder: Path) -> list[Path]:
    """Make a folder and those above it; return those that were missing, inner first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
    return missing


def _name_beside(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) + len(SUFFIX) <= _LONGEST_NAME:
        return name + SUFFIX
    tail = f".{zlib.crc32(encoded):08x}{SUFFIX}"
    return os.fsdecode(encoded[: _LONGEST_NAME - len(tail)]) + tail


def _lock(file: IO[bytes], path: Path, claimed: Path, *, wait: bool) -> bool:
    """Lock a file; return False if its file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        holder = _read_holder(path)
        raise BlockingIOError(
            f"{claimed} is being written by {holder or 'another process'}: wait until "
            "that is done, or stop it"
        ) from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _write_holder(file: IO[bytes], path: Path) -> None:
    """Write down who holds a claim; what cannot be written down leaves no file."""
    content = json_text(asdict(Holder.this())) + "\n"
    try:
        with naming_where_room_lacks(path):
            file.truncate(0)
            file.write(content.encode())
            file.flush()
    except OSError:
        # To close it is to try once more what could not be written.
        for undo in (path.unlink, file.close):
            with suppress(OSError):
                undo()
        raise


def _read_holder(path: Path) -> Holder | None:
    """Read who holds a claim, who may just have taken it and not have written yet."""
    deadline = time.monotonic() + _SECONDS_TO_WRITE
    while time.monotonic() < deadline:
        with suppress(OSError):
            if holder := Holder.parse(path.read_bytes()):
                return holder
        time.sleep(0.02)
    return None


def _check_left(file: IO[bytes], path: Path, claimed: Path, *, locked: bool) -> None:
    """Check what a holder has left who is gone, or whom no lock can tell from one."""
    file.seek(0)
    content = file.read(1 << 12)
    if not content:
        return
    left = Holder.parse(content)
    if left is None:
        raise FileExistsError(
            f"{path} would be the claim on {claimed}, and is a file of another kind; "
            "move it, or give another output"
        )
    if left.is_elsewhere() and not (locked and locks_hold_everywhere(path)):
        raise BlockingIOError(
            f"{claimed} is claimed by {left}, which cannot be asked from here: if that "
            f"process is gone, remove {path}"
        )
    if not locked and left.is_alive():
        raise BlockingIOError(
            f"{claimed} is being written by {left}: wait until that is done, or stop it"
        )
