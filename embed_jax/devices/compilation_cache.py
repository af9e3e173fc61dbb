# SPDX-License-Identifier: Apache-2.0
"""JAX's persistent compilation cache, switched on by commands and by users."""

import os
from contextlib import suppress
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from embed_jax.files.local_path import local_path

MOST_BYTES = 4 << 30
"""What the usual directory may hold when a process begins. A program has some megabytes
at most, and each release of jax, or of this project, makes all of them anew."""


def keep_compilations(directory: str | os.PathLike[str] | None = None) -> None:
    """Keep compiled programs in a directory, so that a later process compiles nothing.

    It changes `jax.config` of the whole process, so the library never calls it: a
    program does, once, in its first lines. Programs that take less than 0.2 s to
    compile are not kept, or less than JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS.

    Args:
      directory: by default JAX_COMPILATION_CACHE_DIR, or else contextual-jax in the
        user's cache directory, where commands keep theirs: `MOST_BYTES` of them. A user
        without a home has none, and nothing is kept. jax writes to gs:// too. Of
        another directory JAX_COMPILATION_CACHE_MAX_SIZE is the limit.

    Example:
      >>> import embed_jax
      >>> embed_jax.keep_compilations("compiled")  # doctest: +SKIP
    """
    if directory is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        directory = _usual_directory()
        if directory is not None and "JAX_COMPILATION_CACHE_MAX_SIZE" not in os.environ:
            _remove_unused(directory, MOST_BYTES)
    if directory is not None:
        # jax itself writes to a bucket, such as gs://….
        is_local = "://" not in os.fspath(directory)
        place = local_path(directory) if is_local else directory
        jax.config.update("jax_compilation_cache_dir", os.fspath(place))
        # jax has chosen its directory at the first compilation, if there was one.
        compilation_cache.reset_cache()
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _usual_directory() -> Path | None:
    """Return the directory of commands; None for a user without a home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # Which is to be as if it was not set.
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:
            return None
    return cache / "contextual-jax"


def _remove_unused(directory: Path, most: int) -> None:
    """Remove programs until a quarter of the room is free, if there is too little.

    Those go first that were used longest ago. Not by jax's own limit: it stops writing
    at the first program that was kept without it, and has a lock for each reading.
    """
    programs = []
    with suppress(OSError):
        for path in directory.glob("*-cache"):
            with suppress(FileNotFoundError):  # Another process removes them too.
                status = path.stat()
                used = max(status.st_atime, status.st_mtime)
                programs.append((used, status.st_size, path))
        excess = sum(size for _, size, _ in programs) - most
        if excess <= 0:
            return
        excess += most // 4
        for _, size, path in sorted(programs):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size
