# SPDX-License-Identifier: Apache-2.0
"""Compiled programs: shared by all tests, made quickly, and counted."""

import atexit
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jaxlib

COMPILED = "/jax/core/compile/backend_compile_duration"


_QUICKLY = "jax_disable_most_optimizations"
# Kept programs are all forgotten where they take more than this many bytes.
_MOST = 4e9


def share_compilations() -> None:
    """Have all tests, and later runs of them, find what one has compiled.

    It lies in the user's cache. What XLA:CPU compiles is for the processor that it runs
    on, so that each has a folder of its own. Processes that tests start, and kill while
    they may be writing, share one that lasts as long as the tests; they find it in the
    environment.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "contextual-jax/tests" / _machine()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        if _size(folder) > _MOST:
            shutil.rmtree(folder)
        started = tempfile.mkdtemp(prefix="compiled-")
        atexit.register(shutil.rmtree, started, ignore_errors=True)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = started
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # Its mode depends on the process, and the key of a program on its mode.
    os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"
    # This process has imported jax already.
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def forget_if_many(most: int = 20_000) -> None:
    """Have jax forget its programs where they make many mappings of this process.

    Each has several, Linux grants a process 65,530, and loading one more then crashes.
    What is forgotten is found again where all tests keep it.
    """
    try:
        number = Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return
    if number > most:
        jax.clear_caches()


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = list(os.uname())
    known = {line for line in lines if line.startswith(("flags", "Features", "model"))}
    text = "\n".join([jax.__version__, jaxlib.__version__, *sorted(known)])
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _size(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    return sum(entry.stat().st_size for entry in os.scandir(folder))


@contextlib.contextmanager
def counting_compilations() -> Iterator[list[str]]:
    """Give a list that grows by a name for each program that is compiled.

    One that a persistent cache has counts too; one that jax still holds does not.
    """
    names: list[str] = []

    def note(event: str, _: float, **details: Any) -> None:
        if event == COMPILED:
            names.append(str(details.get("fun_name", "")))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


@contextlib.contextmanager
def compiling_quickly() -> Iterator[None]:
    """Make the same programs in half the time: LLVM leaves its code as XLA wrote it."""
    before = jax.config.values[_QUICKLY]
    compile_quickly()
    try:
        yield
    finally:
        jax.config.update(_QUICKLY, before)


def compile_quickly() -> None:
    """Do so from now on, in a process of its own."""
    jax.config.update(_QUICKLY, True)


@contextlib.contextmanager
def compiling_fully() -> Iterator[None]:
    """Make the programs that users run, where all others are made quickly.

    What was made quickly before, and is still held by jax, would be taken for them.
    """
    before = jax.config.values[_QUICKLY]
    if before:
        jax.clear_caches()
        jax.config.update(_QUICKLY, False)
    try:
        yield
    finally:
        if before:
            jax.clear_caches()
            jax.config.update(_QUICKLY, before)
