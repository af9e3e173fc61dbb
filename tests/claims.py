# SPDX-License-Identifier: Apache-2.0
"""An output that somebody else is writing, as a command meets it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embed_jax.files.claim import claim, claim_directory


@contextmanager
def claimed_by_another(path: Path, *, inside: bool = False) -> Iterator[None]:
    """Have a thread hold a claim; to every other one it is another process's."""
    held, done = threading.Event(), threading.Event()
    errors: list[OSError] = []

    def hold() -> None:
        try:
            with claim_directory(path) if inside else claim(path):
                held.set()
                done.wait()
        except OSError as error:
            errors.append(error)
            held.set()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert not errors, errors
        yield
    finally:
        done.set()
        thread.join()
