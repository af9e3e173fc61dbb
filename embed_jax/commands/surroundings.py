# SPDX-License-Identifier: Apache-2.0
"""What a command finds set around it, and works under all the same."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_GUARD = "jax_transfer_guard"
# Setting the first sets the others, so it comes first.
_GUARDS = (
    _GUARD,
    f"{_GUARD}_host_to_device",
    f"{_GUARD}_device_to_device",
    f"{_GUARD}_device_to_host",
)


@contextmanager
def withstood() -> Iterator[None]:
    r"""Have a command work, within the block, in surroundings made for others.

    An output without a character, as under LC_ALL=C, in cron jobs and where
    PYTHONIOENCODING names ASCII, has it spelled out, \u2026, where the error would end
    the command and lose what it has found; whoever asks for another way has that.
    JAX_TRANSFER_GUARD, by which programs look for copies that they did not mean, does
    not forbid those that commands mean.
    """
    with ExitStack() as afterwards:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="backslashreplace")
                afterwards.callback(_be_strict, stream)
        if any(name.upper() in os.environ for name in _GUARDS):
            import jax

            for name in _GUARDS[1:]:
                afterwards.callback(jax.config.update, name, jax.config.values[name])
            # Called before them, for it was added last.
            afterwards.callback(jax.config.update, _GUARD, jax.config.values[_GUARD])
            jax.config.update(_GUARD, "allow")
        yield


def _be_strict(stream: io.TextIOWrapper) -> None:
    if not stream.closed:
        stream.reconfigure(errors="strict")
