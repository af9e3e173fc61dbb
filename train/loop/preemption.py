# SPDX-License-Identifier: Apache-2.0
"""Stopping of a run: one process that is asked to stops all after the same step."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


class AgreedStop:
    """Stops all processes after the same step if one of them is asked to stop.

    The flags are combined on the devices and read one step late, as metrics are, so
    that no process waits.
    """

    def __init__(self, stop: Callable[[], bool], mesh: Mesh) -> None:
        """Poll `stop` after every step; with one process it takes effect at once."""
        self._stop, self._num_flags = stop, len(mesh.local_devices)
        self._spread = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
        self._highest = jax.jit(
            partial(jnp.max, axis=0), out_shardings=NamedSharding(mesh, PartitionSpec())
        )
        self._pending: jax.Array | None = None

    def __call__(self) -> bool:
        """Return whether to stop now; call it once after every step."""
        if jax.process_count() == 1:
            return self._stop()
        before = self._pending
        flags = np.full(self._num_flags, self._stop(), np.int32)
        self._pending = self._highest(
            jax.make_array_from_process_local_data(self._spread, flags)
        )
        return before is not None and bool(before)
