# SPDX-License-Identifier: Apache-2.0
"""Files that a run appends to, for a run in a bucket, where nothing can be appended.

They are written on this machine, and copied to the bucket whole: before every
checkpoint, so that none is there without the lines of its steps, and in between every
half minute, so that a run can be watched. A run that goes on begins with its copies.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from embed_jax.files.bucket import put_file
from embed_jax.files.bucket_claim import check_still_claimed

SECONDS_BETWEEN_COPIES = 30.0


class Mirror:
    """A folder of this machine whose files are copied to the directory of a run.

    Attributes:
      folder: where to write; removed when the mirror is closed.
    """

    def __init__(self, run: Path, name: str, say: Callable[[str], None]) -> None:
        """Make the folder.

        Args:
          run: the directory of the run, in a bucket, which this process has claimed.
          name: of a file that a run which goes on continues; it is fetched.
          say: is told of copies that failed and are tried again.
        """
        self._run, self._say = run, say
        self._temporary = tempfile.TemporaryDirectory(prefix="run-")
        self.folder = Path(self._temporary.name)
        if (run / name).is_file():
            (self.folder / name).write_bytes((run / name).read_bytes())
        self._sizes: dict[Path, int] = {}
        # One thread, so that an older copy never comes after a newer one.
        self._pool = ThreadPoolExecutor(1, "mirror")
        self._copying: Future[None] | None = None
        self._copied = time.monotonic()

    def written(self) -> None:
        """Copy in the background, if the last time is long enough ago."""
        if time.monotonic() - self._copied < SECONDS_BETWEEN_COPIES:
            return
        if self._copying is None or self._copying.done():
            self._copied = time.monotonic()
            self._copying = self._pool.submit(self._try_to_copy)

    def copy(self) -> None:
        """Copy what has been written, and wait for it.

        Raises:
          BlockingIOError: another process has taken the run over.
          OSError: the bucket cannot be reached.
        """
        check_still_claimed(self._run)
        self._pool.submit(self._copy).result()
        self._copied = time.monotonic()

    def close(self) -> None:
        """Copy what has been written, and remove the folder.

        Raises:
          OSError: the bucket cannot be reached.
        """
        try:
            self.copy()
        finally:
            self._pool.shutdown()
            self._temporary.cleanup()

    def _copy(self) -> None:
        for path in sorted(self.folder.rglob("*")):
            size = path.stat().st_size
            # Files only grow, or are copied before anything else is done with them.
            if path.is_file() and self._sizes.get(path) != size:
                put_file(path, self._run / path.relative_to(self.folder))
                self._sizes[path] = size

    def _try_to_copy(self) -> None:
        try:
            self._copy()
        except OSError as error:
            self._say(f"{error}; the next copy may succeed")
