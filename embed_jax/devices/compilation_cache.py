# SPDX-License-Identifier: Apache-2.0
"""JAX's persistent compilation cache, switched on for commands."""

import os
from pathlib import Path

import jax


def keep_compilations() -> None:
    """Switch JAX's persistent compilation cache on.

    For commands only: it changes `jax.config` of the whole process. The folder is
    JAX_COMPILATION_CACHE_DIR, or contextual-jax in the user's cache directory. Programs
    that take less than 0.2 s to compile are not kept, or less than
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(cache / "contextual-jax"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
