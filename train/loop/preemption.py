# SPDX-License-Identifier: Apache-2.0
"""When a run stops before its end: a signal to one process stops all after one step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signal() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGTERM or Ctrl-C has come."""
    received: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        del frame
        if received:
            raise KeyboardInterrupt  # a second one does not wait for the save
        received.append(signum)

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class AgreedStop:
    """Tells all processes after the same step that one of them was told to stop.

    Their flags are put together on the devices, and read one step late, as figures are:
    nobody waits.
    """

    def __init__(self, stop: Callable[[], bool], mesh: Mesh) -> None:
        """Ask `stop` after every step; with one process its answer counts at once."""
        self._stop, self._num_flags = stop, len(mesh.local_devices)
        self._spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._highest = jax.jit(
            partial(jnp.max, axis=0), out_shardings=NamedSharding(mesh, PartitionSpec())
        )
        self._pending: jax.Array | None = None

    def __call__(self) -> bool:
        """Tell whether to stop now; to be asked once after every step."""
        if jax.process_count() == 1:
            return self._stop()
        before = self._pending
        flags = np.full(self._num_flags, self._stop(), np.int32)
        self._pending = self._highest(
            jax.make_array_from_process_local_data(self._spread, flags)
        )
        return before is not None and bool(before)
