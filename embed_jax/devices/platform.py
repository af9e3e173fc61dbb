# SPDX-License-Identifier: Apache-2.0
"""The platform that a program is traced for, which may be another than this one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

_target: ContextVar[str | None] = ContextVar("target", default=None)


def target_platform() -> str:
    """Return "cpu", "gpu" or "tpu": jax's default backend, unless told otherwise."""
    return _target.get() or jax.default_backend()


@contextmanager
def tracing_for(platform: str) -> Iterator[None]:
    """Choose the forms that suit a platform while a program is traced.

    What jax has traced before is not traced again: use functions of your own.

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
