# SPDX-License-Identifier: Apache-2.0
"""A progress bar for embedding a corpus."""

import time
from types import TracebackType

from tqdm import tqdm


class Progress:
    """A progress bar in sentences, with words a second and the time left.

    Sentences are computed steadily but written in order, in bursts; those computed and
    not yet written count too.
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
        """Count one sentence of `num_words` words that was written to disk."""
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
        """Return the progress bar itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bar, which stays on the terminal."""
        self._bar.close()
