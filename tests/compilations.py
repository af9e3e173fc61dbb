# SPDX-License-Identifier: Apache-2.0
"""Which programs XLA compiles while a test does something, by jax's public events."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"


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
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, True)
    try:
        yield
    finally:
        jax.config.update(name, before)
