# SPDX-License-Identifier: Apache-2.0
"""Options for one command on several hosts, and the connection of its processes."""

import dataclasses
import os
from typing import Annotated, NamedTuple

import jax
from tyro.conf import arg

from embed_jax.checks import check_at_least, check_fields
from embed_jax.hosts.clusters import Job, find_job

# A process that is gone is missed after so long; the others then stop.
HEARTBEAT_SECONDS = 30
# So long a process that has ended waits for the others to end.
SHUTDOWN_SECONDS = 60


class Place(NamedTuple):
    """This process's place among the processes of one command.

    Attributes:
      process_id: from 0.
      num_processes: number of processes.
    """

    process_id: int
    num_processes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Processes:
    """Options for running the same command once on each of several hosts.

    The defaults are JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID;
    without them the command runs as a single process.
    """

    coordinator: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """Address at which process 0 listens for the others; where a corpus is embedded in
    shares, nobody listens, and only "auto" counts. "auto" detects it and the other two
    from Slurm, Open MPI, Kubernetes or the Cloud TPU metadata (an indexed job of
    Kubernetes may need --num-processes)."""
    num_processes: int | None = None
    """Number of processes, this one included."""
    process_id: int | None = None
    """Index of this process, from 0."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)
        check_at_least(self, 1, "num_processes")
        check_at_least(self, 0, "process_id")

    def join(self) -> None:
        """Connect to the other processes; afterwards `jax.devices()` has all devices.

        Waits for all of them. Call it before any use of a jax device.

        Raises:
          ValueError: the three are not given together, or are invalid.
          RuntimeError: the other processes did not connect in time.
        """
        coordinator, number, index = self._given()
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
        _check_index(index, number)
        jax.distributed.initialize(
            coordinator,
            number,
            index,
            cluster_detection_method="deactivate",
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )

    def place(self) -> Place:
        """Return this process's place, without connecting to the others.

        For work without communication: each process sees only its own devices, and does
        not depend on the others. The coordinator's address is not needed; "auto"
        detects as `join` does and, like it, gives each process on a shared host one
        device. Call it before any use of a jax device.

        Raises:
          ValueError: the numbers are not given together, or are invalid.
        """
        coordinator, number, index = self._given()
        if coordinator == "auto" and (number is None or index is None):
            job = find_job()
            if job is None:
                raise ValueError(
                    "--coordinator auto: this is no cluster that jax knows; give "
                    "--num-processes and --process-id"
                )
            _leave_one_device(job)
            number = number if job.num_processes is None else job.num_processes
            index = job.process_id
        if number is None and index is None:
            return Place(0, 1)
        if number is None or index is None:
            raise ValueError(
                "--num-processes and --process-id belong together; "
                'give both, or --coordinator "auto"'
            )
        _check_index(index, number)
        return Place(index, number)

    def _given(self) -> tuple[str | None, int | None, int | None]:
        return (
            self.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"),
            _number(self.num_processes, "JAX_NUM_PROCESSES"),
            _number(self.process_id, "JAX_PROCESS_ID"),
        )


def is_first() -> bool:
    """Return whether this is process 0, the only one that prints and writes files."""
    return jax.process_index() == 0


def _check_index(index: int, number: int) -> None:
    if not 0 <= index < number:
        raise ValueError(f"--process-id {index} is not one of 0 to {number - 1}")


def _leave_one_device(job: Job) -> None:
    """Make one device visible where the processes of a host share its devices."""
    if job.local_id is not None:
        jax.config.update("jax_cuda_visible_devices", str(job.local_id))
        jax.config.update("jax_rocm_visible_devices", str(job.local_id))


def _number(value: int | None, variable: str) -> int | None:
    if value is not None or variable not in os.environ:
        return value
    text = os.environ[variable]
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{variable} is {text!r}, which is no number") from None
