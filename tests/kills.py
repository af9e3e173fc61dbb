# SPDX-License-Identifier: Apache-2.0
"""At how many of the moments at which a test can kill it does: all, or a share.

Each kill says as much as another; `.ci/run`, whose time is short, asks for a share.
"""

import os

SHARE = float(os.environ.get("TESTS_SHARE_OF_KILLS", "1"))


def stride_of(number: int) -> int:
    """Widen a stride from kill to kill; it stays odd, to meet every kind of line."""
    return round(number / SHARE) | 1


def number_of(number: int) -> int:
    """Lower a number of kills."""
    return max(1, round(number * SHARE))
