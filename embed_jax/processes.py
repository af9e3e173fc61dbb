# SPDX-License-Identifier: Apache-2.0
"""One command on several hosts: how its processes find each other."""

import dataclasses
import os
from typing import Annotated

import jax
from tyro.conf import arg

# A process that is gone is missed after so long; the others then stop.
HEARTBEAT_SECONDS = 30
# So long a process that has ended waits for the others to end.
SHUTDOWN_SECONDS = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Processes:
    """Where the same command runs once on each of several hosts.

    Left out, JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID are read;
    without them the command runs alone.
    """

    coordinator: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """Where process 0 listens for the others; "auto" asks Slurm, Open MPI, Kubernetes
    or the Cloud TPU metadata, which know the other two as well."""
    num_processes: int | None = None
    """How many there are, this one included."""
    process_id: int | None = None
    """Which this one is, from 0."""

    def join(self) -> None:
        """Wait for the other processes; afterwards `jax.devices()` has all devices.

        To be called before anything asks jax for a device.

        Raises:
          ValueError: the three are not given together, or make no sense.
          RuntimeError: the others did not come.
        """
        coordinator = self.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
        number = _given(self.num_processes, "JAX_NUM_PROCESSES")
        index = _given(self.process_id, "JAX_PROCESS_ID")
        # SIGTERM stays what the command makes of it.
        jax.config.update("jax_enable_preemption_service", False)
        if coordinator == "auto":
            jax.distributed.initialize(
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=SHUTDOWN_SECONDS,
            )
            return
        if coordinator is None and number is None and index is None:
            return
        if coordinator is None or number is None or index is None:
            raise ValueError(
                "--coordinator, --num-processes and --process-id belong together; "
                'give all three, or --coordinator "auto"'
            )
        if not 0 <= index < number:
            raise ValueError(f"--process-id {index} is not one of 0 to {number - 1}")
        jax.distributed.initialize(
            coordinator,
            number,
            index,
            cluster_detection_method="deactivate",
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )


def is_first() -> bool:
    """Tell whether this process is the one that speaks and writes for all."""
    return jax.process_index() == 0


def _given(value: int | None, variable: str) -> int | None:
    if value is not None or variable not in os.environ:
        return value
    text = os.environ[variable]
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{variable} is {text!r}, which is no number") from None
