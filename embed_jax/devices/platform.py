# SPDX-License-Identifier: Apache-2.0
"""The platform that a program is traced for, which may differ from the current one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_target: ContextVar[str | None] = ContextVar("target", default=None)


def target_platform() -> str:
    """Return "cpu", "gpu" or "tpu": that of `tracing_for`, or jax's default backend."""
    return _target.get() or jax.default_backend()


@contextmanager
def tracing_for(platform: str) -> Iterator[None]:
    """Set `target_platform` for the programs that are traced in this block.

    jax caches traces: trace functions that have not been traced for another platform.

    Example:
      >>> with tracing_for("tpu"):
      ...     target_platform()
      'tpu'
    """
    token = _target.set(platform)
    try:
        yield
    finally:
        _target.reset(token)
