# SPDX-License-Identifier: Apache-2.0
"""The command `python -m embed_jax.nearest`; see `embed_jax.explore.nearest`."""

import sys

from embed_jax.explore.nearest import main

if __name__ == "__main__":
    sys.exit(main())
