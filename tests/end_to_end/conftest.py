# SPDX-License-Identifier: Apache-2.0
"""Commands and pages: what they do, not how fast."""

import signal
from collections.abc import Iterator

import pytest

from embed_jax.commands.starting import SIGNALS
from tests.compilations import compiling_quickly


@pytest.fixture(scope="module", autouse=True)
def _quickly() -> Iterator[None]:
    with compiling_quickly():
        yield


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back the handlers: a program that comes to its end here ignores signals."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
