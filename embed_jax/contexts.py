# SPDX-License-Identifier: Apache-2.0
"""The command `python -m embed_jax.contexts`; see `embed_jax.explore.contexts`."""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import sys

from embed_jax.explore.contexts.command import main

if __name__ == "__main__":
    sys.exit(main())
