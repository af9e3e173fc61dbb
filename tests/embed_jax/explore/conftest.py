# SPDX-License-Identifier: Apache-2.0
"""Commands on tiny models."""

from collections.abc import Iterator

import pytest

from tests.compilations import compiling_quickly


@pytest.fixture(scope="module", autouse=True)
def _quickly() -> Iterator[None]:
    with compiling_quickly():
        yield
