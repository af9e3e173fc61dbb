# SPDX-License-Identifier: Apache-2.0
"""JAX's persistent compilation cache, switched on by commands and by users."""

import os
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from embed_jax.files.local_path import local_path


def keep_compilations(directory: str | os.PathLike[str] | None = None) -> None:
    """Keep compiled programs in a directory, so that a later process compiles nothing.

    It changes `jax.config` of the whole process, so the library never calls it: a
    program does, once, in its first lines. Programs that take less than 0.2 s to
    compile are not kept, or less than JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS.

    Args:
      directory: by default JAX_COMPILATION_CACHE_DIR, or else contextual-jax in the
        user's cache directory, where commands keep theirs. jax writes to gs:// too.

    Example:
      >>> import embed_jax
      >>> embed_jax.keep_compilations("compiled")  # doctest: +SKIP
    """
    if directory is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        directory = cache / "contextual-jax"
    if directory is not None:
        # jax itself writes to a bucket, such as gs://….
        is_local = "://" not in os.fspath(directory)
        place = local_path(directory) if is_local else directory
        jax.config.update("jax_compilation_cache_dir", os.fspath(place))
        # jax has chosen its directory at the first compilation, if there was one.
        compilation_cache.reset_cache()
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
