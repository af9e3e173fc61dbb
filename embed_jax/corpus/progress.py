# SPDX-License-Identifier: Apache-2.0
"""A line that says how far a corpus is, how fast, and how long it will take."""

import time
from types import TracebackType

from tqdm import tqdm


class Progress:
    """Counts sentences on the terminal, with words a second and the time left.

    Sentences are written in bursts, when all before them are done, but computed
    steadily: what is computed and not yet written counts too.
    """

    def __init__(self, name: str, total: int, done: int) -> None:
        """Start at `done` of `total` sentences."""
        self._bar = tqdm(desc=name, total=total, initial=done, unit=" sentences")
        self._written = done
        self._waiting = 0
        self._num_words = 0
        self._start = time.monotonic()

    def computed(self, num_rows: int) -> None:
        """Count rows that have left the device; nearly all are a sentence each."""
        self._waiting += num_rows
        self._show()

    def written(self, num_words: int) -> None:
        """Count one sentence that has reached the disk."""
        self._written += 1
        self._waiting = max(self._waiting - 1, 0)
        self._num_words += num_words
        self._show()

    def _show(self) -> None:
        seconds = time.monotonic() - self._start
        if self._num_words and seconds:
            rate = f"{self._num_words / seconds:,.0f} words/s"
            self._bar.set_postfix_str(rate, refresh=False)
        estimate = min(self._written + self._waiting, self._bar.total)
        # tqdm prints nothing unless some time has passed since it last did.
        self._bar.update(max(estimate - self._bar.n, 0))

    def __enter__(self) -> "Progress":
        """Show the line."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the line as it is."""
        self._bar.close()
