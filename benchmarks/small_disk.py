# SPDX-License-Identifier: Apache-2.0
"""A small file system of its own, for what must not fill anybody's disk."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# By default; the largest outcome of a small command is some megabytes.
_BYTES = 1 << 27
# How often the disk is filled again with what was freed meanwhile.
_SECONDS_BETWEEN = 0.005
_FILLER = "filler"


class Disk:
    """A small file system that can be full.

    Attributes:
      path: where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        """Take a file system that is mounted."""
        self.path = path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Fill it, and again whenever something is freed, until the block ends."""
        done = threading.Event()
        filler = self.path / _FILLER
        descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
        self._fill(descriptor)

        def again() -> None:
            while not done.wait(_SECONDS_BETWEEN):
                self._fill(descriptor)

        thread = threading.Thread(target=again, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            os.close(descriptor)
            filler.unlink()

    def _fill(self, descriptor: int) -> None:
        while room := os.statvfs(self.path).f_bavail:
            block = os.statvfs(self.path).f_frsize
            size = os.fstat(descriptor).st_size
            # What the command takes meanwhile is less than the half of it, in the end.
            with suppress(OSError):
                os.posix_fallocate(descriptor, size, block * max(room // 2, 1))


@contextmanager
def small_disk(num_bytes: int = _BYTES) -> Iterator[Disk]:
    """Mount a small file system, and have temporary files there too.

    Raises:
      PermissionError: it cannot be mounted: only root can, and not everywhere.
    """
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", folder]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PermissionError(
                f"no small file system can be mounted ({' '.join(mount)}): {error}"
            ) from error
        try:
            yield Disk(Path(folder))
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
