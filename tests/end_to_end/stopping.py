# SPDX-License-Identifier: Apache-2.0
"""Stops a command that fills a store, as Ctrl-C does."""

import contextlib
from collections.abc import Iterator

import pytest

from embed_jax.store import StoreWriter


@contextlib.contextmanager
def stopped_after(num_sentences: int) -> Iterator[None]:
    """Interrupt whoever appends more sentences than so many."""
    append, count = StoreWriter.append, 0

    def append_or_stop(writer, vectors, words):
        nonlocal count
        if count == num_sentences:
            raise KeyboardInterrupt
        count += 1
        append(writer, vectors, words)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoreWriter, "append", append_or_stop)
        yield
