# SPDX-License-Identifier: Apache-2.0
"""What clusters say to their processes, in the forms that they publish."""

import http.server
import os
import threading

import pytest

from embed_jax.hosts import clusters
from embed_jax.hosts.clusters import Job, find_job

PREFIXES = ("SLURM_", "OMPI_", "TPU_", "MEGASCALE_", "JOB_COMPLETION", "GCE_")
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "6",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}
SLURM = {
    "SLURM_STEP_NODELIST": "node[001-004]",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
BATCH_SCRIPT = {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
PODS = {"TPU_WORKER_ID": "2", "TPU_WORKER_HOSTNAMES": "a,b,c,d"}
SLICES = {"MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1"}
INDEXED = {"JOB_COMPLETION_INDEX": "7"}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "has_tpu", "job"),
    [
        ({}, False, None),
        (OPEN_MPI, False, Job(3, 6, 1)),
        (SLURM, False, Job(5, 8, 1)),
        ({**SLURM, **OPEN_MPI}, False, Job(3, 6, 1)),
        (BATCH_SCRIPT, False, None),
        (PODS, True, Job(2, 4)),
        # Without a chip these are what a compiler for TPUs was told.
        (PODS, False, None),
        ({**PODS, **SLICES}, True, Job(6, 8)),
        ({**PODS, **INDEXED}, True, Job(2, 4)),
        (INDEXED, False, Job(7, None)),
    ],
)
def test_a_job_is_what_its_cluster_says(environment, given, has_tpu, job):
    environment.setattr(clusters, "has_tpu", lambda: has_tpu)
    for name, value in given.items():
        environment.setenv(name, value)
    assert find_job() == job


def test_a_number_that_is_missing_is_named(environment):
    for name, value in OPEN_MPI.items():
        environment.setenv(name, value)
    environment.delenv("OMPI_COMM_WORLD_SIZE")
    with pytest.raises(ValueError, match="OMPI_COMM_WORLD_SIZE is not set"):
        find_job()


METADATA = {
    "agent-worker-number": "1",
    # In the older of two forms.
    "worker-network-endpoints": "x:1:10.0.0.1,y:2:10.0.0.2",
    "tpu-env": "ZONE: 'here'\nMEGASCALE_NUM_SLICES: '3'\nMEGASCALE_SLICE_ID: '2'\n",
}


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        assert self.headers["Metadata-Flavor"] == "Google"
        name = self.path.removeprefix("/computeMetadata/v1/instance/attributes/")
        self.send_response(200 if name in METADATA else 404)
        self.end_headers()
        self.wfile.write(METADATA.get(name, "").encode())

    def log_message(self, *arguments):
        pass


def test_a_machine_with_tpus_asks_the_metadata_server(environment):
    environment.setattr(clusters, "has_tpu", lambda: True)
    environment.setenv("http_proxy", "http://nowhere.invalid:1")
    with http.server.HTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment.setenv("GCE_METADATA_IP", f"127.0.0.1:{server.server_port}")
        assert find_job() == Job(5, 6)
        server.shutdown()
    # Nobody listens there any more: it is no Cloud TPU.
    assert find_job() is None
