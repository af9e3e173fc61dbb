# SPDX-License-Identifier: Apache-2.0
"""Which process this is, told by options, by the environment or by a cluster."""

import os

import jax
import pytest

from embed_jax.hosts.processes import Place, Processes

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[001-004]",
    "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    others = "JAX_COORDINATOR", "JAX_NUM_PROC", "JAX_PROC", "SLURM_", "OMPI_", "JOB_COM"
    for name in list(os.environ):
        if name.startswith(others):
            monkeypatch.delenv(name)
    return monkeypatch


def test_alone_by_default():
    assert Processes().place() == Place(0, 1)


def test_options_go_before_the_environment(environment):
    assert Processes(num_processes=4, process_id=3).place() == Place(3, 4)
    environment.setenv("JAX_NUM_PROCESSES", "8")
    environment.setenv("JAX_PROCESS_ID", "2")
    assert Processes().place() == Place(2, 8)
    assert Processes(process_id=5).place() == Place(5, 8)
    # Where the others are is of no importance.
    assert Processes(coordinator="nowhere:1").place() == Place(2, 8)


def test_the_coordinator_of_an_option_goes_before_that_of_the_environment(environment):
    environment.setenv("JAX_COORDINATOR_ADDRESS", "theirs:1")
    asked = []
    initialize = "jax.distributed.initialize"
    environment.setattr(initialize, lambda *given, **_: asked.append(given))
    preemption = jax.config.jax_enable_preemption_service
    try:
        Processes(coordinator="ours:2", num_processes=4, process_id=3).join()
        Processes(num_processes=4, process_id=3).join()
    finally:
        jax.config.update("jax_enable_preemption_service", preemption)
    assert asked == [("ours:2", 4, 3), ("theirs:1", 4, 3)]


@pytest.mark.parametrize(
    ("processes", "message"),
    [
        (Processes(num_processes=4), "belong together"),
        (Processes(process_id=0), "belong together"),
        (Processes(num_processes=4, process_id=4), "4 is not one of 0 to 3"),
        (Processes(coordinator="auto"), "no cluster that jax knows"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(processes, message):
    with pytest.raises(ValueError, match=message):
        processes.place()


def test_a_number_below_all_is_refused_wherever_it_stands(environment):
    with pytest.raises(ValueError, match="process_id must be at least 0, not -1"):
        Processes(num_processes=4, process_id=-1)
    environment.setenv("JAX_NUM_PROCESSES", "4")
    environment.setenv("JAX_PROCESS_ID", "-1")
    with pytest.raises(ValueError, match="-1 is not one of 0 to 3"):
        Processes().place()


def test_a_cluster_is_asked_and_nobody_waited_for(environment):
    visible = "jax_cuda_visible_devices", "jax_rocm_visible_devices"
    before = [jax.config.read(name) for name in visible]
    for name, value in SLURM.items():
        environment.setenv(name, value)
    try:
        assert Processes(coordinator="auto").place() == Place(5, 8)
        # Two tasks share the host: each has the device of its number, as in training.
        assert [jax.config.read(name) for name in visible] == ["1", "1"]
    finally:
        for name, value in zip(visible, before, strict=True):
            jax.config.update(name, value)
    told = Processes(coordinator="auto", num_processes=2, process_id=1)
    assert told.place() == Place(1, 2)


def test_an_indexed_job_is_told_how_many_there_are(environment):
    environment.setenv("JOB_COMPLETION_INDEX", "3")
    assert Processes(coordinator="auto", num_processes=4).place() == Place(3, 4)
    with pytest.raises(ValueError, match="belong together"):
        Processes(coordinator="auto").place()
