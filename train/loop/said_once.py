# SPDX-License-Identifier: Apache-2.0
"""Failures of a save said once, by who waits for it, and not by its libraries as well.

A disk that is full for a moment fails several files of one checkpoint. Orbax logs a
traceback for each, then raises the first; TensorStore reports the others to a loop of
asyncio that has ended with it, and prints a traceback for each refusal. A run says one
line, with what to do, and these would bury it.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Orbax logs through Abseil.
_LOGGER = logging.getLogger("absl")
# Where it logs what it also raises, once the save is waited for.
_RAISED_LATER = (
    "checkpoint_manager.py",
    "futures/future.py",
    "checkpointers/async_checkpointer.py",
    "metadata/checkpoint.py",
)


@contextmanager
def said_once() -> Iterator[None]:
    """Leave out, during a block, what libraries print of a save that fails.

    Other messages of Orbax keep their line and lose their traceback. After a block that
    raised, TensorStore is still heard out in silence: its files may fail later.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not isinstance(error, RuntimeError) or "loop is closed" not in str(error):
            before(unraisable)

    _LOGGER.addFilter(_without_traceback)
    sys.unraisablehook = hook
    try:
        yield
        if sys.unraisablehook is hook:
            sys.unraisablehook = before
    finally:
        _LOGGER.removeFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    if "/orbax/" not in record.pathname or not record.exc_info:
        return True
    record.exc_info = None
    return not record.pathname.endswith(_RAISED_LATER)
