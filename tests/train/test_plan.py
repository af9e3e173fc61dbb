"""What is planned is what the compiler says, and the arithmetic on it is right."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from train import plan
from train.config import experiment_named
from train.loop.sharding import training_mesh
from train.planning.abstract import abstract_embedding, abstract_step
from train.planning.hardware import Chip, chip_of
from train.planning.roofline import roofline_of

CHIP = Chip(flops=1e12, memory=1e9, bandwidth=1e10, interconnect=1e9)


def program_of(flops: float, counted_bytes: float, *lines: str) -> Any:
    costs = {"flops": flops, "bytes accessed": counted_bytes}
    text = "\n".join(["ENTRY %main () -> f32[] {", *lines, "}"])
    return SimpleNamespace(cost_analysis=lambda: costs, as_text=lambda: text)


def test_the_longest_of_three_times():
    product = "  %c = f32[6250000]{0} add(%p, %p)"
    read = "  %p = f32[3125000]{0} parameter(0)"
    gather = "  %a = f32[1000]{0} all-gather(%x), replica_groups={{0,1,2,3}}, x=1"
    scatter = "  %b = f32[250]{0} reduce-scatter(%y), replica_groups={{0,1,2,3}}, y=1"
    program = program_of(2e9, 1e8, read, product, gather, scatter)
    line = roofline_of(program, CHIP)
    expected = {"compute": 2e-3, "memory": 5e-3, "interconnect": 6e-6}
    assert line.seconds == pytest.approx(expected, rel=1e-3)
    assert (line.bound, line.step_seconds) == ("memory", line.seconds["memory"])
    # A quarter of the time, of which half are the model's own products.
    assert line.utilisation(1e9, CHIP) == pytest.approx(0.2, rel=1e-3)
    assert line.utilisation(1e9, CHIP, line.counted_bytes) == pytest.approx(0.1)


def test_what_stays_on_the_chip_takes_none_of_the_memory_s_time():
    """50 MB are read of the large memory; 100 MB are written on the chip and read."""
    read = "  %p = f32[12500000]{0} parameter(0)"
    sum_ = "  %s = f32[12500000]{0:T(1024)S(1)} add(%p, %p)"
    twice = "  %t = f32[] reduce(%s, %s)"
    line = roofline_of(program_of(6e9, 3e8, read, sum_, twice), CHIP)
    assert line.traffic.num_bytes == pytest.approx(250e6)
    assert line.seconds["memory"] == pytest.approx(10e-3)
    assert (line.bound, line.step_seconds) == ("memory", line.seconds["memory"])
    faster = roofline_of(program_of(20e9, 3e8, read, sum_, twice), CHIP)
    # By all bytes it would be bound by the memory, at 25 ms.
    assert (faster.bound, faster.step_seconds) == ("compute", 20e-3)


def test_a_longer_name_is_another_chip():
    lite, full = chip_of("TPU v5 lite"), chip_of("TPU v5")
    assert lite is not None
    assert full is not None
    assert lite.flops < full.flops
    assert chip_of("TPU v5p") == full
    assert chip_of("cpu") is None


@pytest.mark.parametrize("name", ["elmo_tiny", "bert_tiny"])
def test_the_step_that_is_planned_is_the_step_that_runs(name: str):
    """Compiled for this CPU: the shapes fit together, and memory is what is there."""
    experiment = experiment_named(name)
    mesh = training_mesh(2, jax.devices()[:4])
    what = abstract_step(experiment, mesh, jnp.dtype(jnp.float32))
    held = sum(plan.bytes_a_chip(what.held[part]) for part in ("weights", "optimiser"))
    memory = plan.memory_of(what.compile(), what, mesh.size)
    assert memory["weights"] + memory["optimiser"] == held
    assert memory["together"] >= held + memory["temporary"]
    assert memory["activations"] > 0
    vectors = abstract_embedding(experiment, mesh, jnp.dtype(jnp.float32), "last")
    served = plan.memory_of(vectors.compile(), vectors, mesh.size)
    assert 0 < served["results"] < served["together"]
    assert vectors.model_flops < what.model_flops / 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topology", "v9z:4x4"], "no topology 'v9z:4x4'"),
        (["--topology", "v5e:2x2", "--layers", "last5"], 'no layer name "last5"'),
        (
            ["--topology", "v5e:2x2", "--optimizer.warmup-steps", "99999"],
            "optimizer.warmup_steps 99999 is above the",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert plan.main(["bert_tiny", *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_a_batch_that_the_chips_cannot_share_is_named_before_any_is_compiled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    chip = chip_of("TPU v5 lite")
    monkeypatch.setattr(plan, "topology_devices", lambda name: jax.devices()[:4])
    monkeypatch.setattr(plan, "chip_of", lambda kind: chip)
    line = ["bert_base", "--topology", "v5e:2x2", "--long-phase.batch-size", "6"]
    assert plan.main(line) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "long_phase.batch_size 6 is not a multiple of 4 devices" in said


@pytest.mark.slow
@pytest.mark.tpu
@pytest.mark.parametrize("name", ["elmo_tiny", "bert_tiny"])
def test_a_small_slice_is_compiled_for(name: str, tmp_path: Path):
    """In a process of its own: libtpu changes what jax finds."""
    output = tmp_path / "plan.json"
    command = [sys.executable, "-m", "train.plan", name, "--topology", "v5e:2x2"]
    ran = subprocess.run(
        [*command, "--fsdp", "2", "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "needs libtpu" in ran.stderr:
        pytest.skip(f"libtpu cannot load: {ran.stderr.strip().splitlines()[-1]}")
    assert ran.returncode == 0, ran.stderr
    (facts,) = json.loads(output.read_text())
    assert facts["chips"] == 4
    assert facts["fits"]
    assert 0 < facts["utilisation"] < 1
    assert facts["seconds"]["step"] == max(facts["seconds"].values())
    assert facts["flops"] > facts["model_flops"]
    # Weights are gathered by twos, gradients summed over all.
    assert "all-gather of 2" in facts["collectives"]
    assert f"{name}, train on v5e:2x2: 4 x TPU v5 lite" in ran.stdout
