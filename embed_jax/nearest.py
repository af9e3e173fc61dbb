# SPDX-License-Identifier: Apache-2.0
"""The command `python -m embed_jax.nearest`; see `embed_jax.explore.nearest`."""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import sys

from embed_jax.explore.nearest import main

if __name__ == "__main__":
    sys.exit(main())
