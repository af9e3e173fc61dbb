# SPDX-License-Identifier: Apache-2.0
"""Detection of the cluster job that this process belongs to, and of its process id.

`jax.distributed.initialize` does the same detection, but waits for all processes; this
module is for commands that need not wait. Clusters are tried in the order of jax.
"""

import os
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# So long a metadata server may take, which is on the machine itself.
_SECONDS = 10


class Job(NamedTuple):
    """This process's place in a cluster job.

    Attributes:
      process_id: from 0.
      num_processes: number of processes; None where the cluster does not provide it.
      local_id: index among those on this host, from 0, where each has its own device.
    """

    process_id: int
    num_processes: int | None
    local_id: int | None = None


def find_job() -> Job | None:
    """Return this process's place in a cluster job; None outside of a job.

    Supports Open MPI, Slurm, Cloud TPUs (on Kubernetes or as machines) and indexed jobs
    of Kubernetes, which do not provide the number of processes.

    Raises:
      ValueError: a variable of the cluster is not a number, or one is missing.
    """
    given = os.environ
    if "OMPI_COMM_WORLD_RANK" in given:
        return _job_of("OMPI_COMM_WORLD_", "RANK", "SIZE", "LOCAL_RANK")
    # Outside of a step, as in a batch script, Slurm numbers no processes.
    if "SLURM_STEP_NODELIST" in given and "SLURM_PROCID" in given:
        return _job_of("SLURM_", "PROCID", "NTASKS", "LOCALID")
    if has_tpu():
        with suppress(OSError):  # there is no metadata server: no Cloud TPU
            return _job_of_tpus(given)
    if "JOB_COMPLETION_INDEX" in given:
        return Job(int(given["JOB_COMPLETION_INDEX"]), None)
    return None


def _job_of(prefix: str, *names: str) -> Job:
    try:
        return Job(*(int(os.environ[prefix + name]) for name in names))
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is not set, but others of it are") from error


def _job_of_tpus(given: Mapping[str, str]) -> Job:
    """Number the hosts of all slices, those of the first slice first."""
    hosts = given.get("TPU_PROCESS_ADDRESSES") or given.get("TPU_WORKER_HOSTNAMES")
    if hosts and "TPU_WORKER_ID" in given:
        host, settings = given["TPU_WORKER_ID"], given
    else:
        host = _metadata("agent-worker-number")
        hosts = _metadata("worker-network-endpoints")
        lines = (line.partition(":") for line in _metadata("tpu-env").splitlines())
        told = {key.strip(): value.strip().strip("'") for key, _, value in lines}
        settings = {**told, **given}
    hosts_a_slice = len(hosts.split(","))
    num_slices = int(settings.get("MEGASCALE_NUM_SLICES") or 1)
    slice_id = int(settings.get("MEGASCALE_SLICE_ID") or 0)
    return Job(int(host) + slice_id * hosts_a_slice, num_slices * hosts_a_slice)


def has_tpu() -> bool:
    """Return whether a TPU may be attached, without opening it."""
    devices = Path("/dev")
    return any(devices.glob("accel[0-9]*")) or any(devices.glob("vfio/[0-9]*"))


def _metadata(key: str) -> str:
    server = os.environ.get("GCE_METADATA_IP", "metadata.google.internal")
    request = urllib.request.Request(
        f"http://{server}/computeMetadata/v1/instance/attributes/{key}",
        headers={"Metadata-Flavor": "Google"},
    )
    # It is not reached through a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_SECONDS) as answer:
        return answer.read().decode()
