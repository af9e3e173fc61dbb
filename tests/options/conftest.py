# SPDX-License-Identifier: Apache-2.0
"""What the tables of several commands look at."""

import pytest

from tests.options.observed_commands import Trained


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """Runs of both kinds whose steps are not computed; only read."""
    return Trained(tmp_path_factory.mktemp("trained"))
