# SPDX-License-Identifier: Apache-2.0
"""What a plan says, reckoned by hand: no compiler and no TPU are needed for that.

In place of the compiled step stands one whose operations, bytes and memory are known.
"""

import json
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from train import plan
from train.loop.sharding import FSDP
from train.planning.abstract import Abstract
from train.planning.hardware import Chip

# A step of 36 s: at its peak a chip needs so long for 36e12 operations.
CHIP = Chip(flops=1e12, memory=1000.0, bandwidth=1e10, interconnect=1e9)
STEP_FLOPS = 36e12
ARGUMENTS, OUTPUTS, ALIASED, TEMPORARY = 600, 610, 590, 300


def program(arguments: int = ARGUMENTS) -> Any:
    memory = SimpleNamespace(
        argument_size_in_bytes=arguments,
        output_size_in_bytes=OUTPUTS,
        alias_size_in_bytes=ALIASED,
        temp_size_in_bytes=TEMPORARY,
    )
    text = "ENTRY %main () -> f32[] {\n  %c = f32[100]{0} add(%a, %b)\n}"
    return SimpleNamespace(
        cost_analysis=lambda: {"flops": STEP_FLOPS, "bytes accessed": 0.0},
        memory_analysis=lambda: memory,
        as_text=lambda: text,
    )


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """Return what plans a configuration for four chips, and what it has written."""
    monkeypatch.setattr(plan, "topology_devices", lambda name: jax.devices()[:4])
    monkeypatch.setattr(plan, "chip_of", lambda kind: CHIP)

    def run(
        *arguments: str, held: int = ARGUMENTS, refused: str = ""
    ) -> list[dict[str, Any]]:
        def abstract(experiment: Any, mesh: Any, dtype: Any) -> Abstract:
            # Sixteen rows of 4 float32, divided by two; moments of as many.
            divided = NamedSharding(mesh, PartitionSpec(FSDP))
            leaf = jax.ShapeDtypeStruct((16, 4), jnp.float32, sharding=divided)

            def compile() -> Any:
                if refused:
                    raise RuntimeError(refused)
                return program(held * experiment.batch_size // 32)

            return Abstract(
                compile=compile,
                held={"weights": leaf, "optimiser": [leaf, leaf]},
                kept_bytes=lambda: 4000,
                model_flops=4 * 18e12,
                row_length=experiment.objective.length,
            )

        monkeypatch.setattr(plan, "abstract_step", abstract)
        output = tmp_path / "plan.json"
        given = ["--topology", "v5e:2x2", "--fsdp", "2", "--output", str(output)]
        assert plan.main([*arguments, *given]) == 0
        return json.loads(output.read_text())

    return run


def test_a_hundred_steps_of_36_s_on_four_chips_are_four_chip_hours(planned, capsys):
    (facts,) = planned("bert_tiny", "--num-steps", "100")
    assert facts["chips"] == 4
    assert facts["mesh"] == {"data": 2, "fsdp": 2}
    assert facts["seconds"]["step"] == facts["seconds"]["compute"] == 36.0
    assert facts["run"] == {"steps": 100, "seconds": 3600.0, "chip_hours": 4.0}
    assert "100 steps, 1 h 0 min, 4 chip-hours" in capsys.readouterr().out


def test_tokens_a_second_and_what_the_model_makes_of_the_peak(planned):
    (facts,) = planned("bert_tiny")
    # 32 rows of 32 in 36 s. Of each chip's 36e12 operations half are the model's.
    assert facts["tokens_per_second"] == pytest.approx(32 * 32 / 36)
    assert (facts["batch_size"], facts["rows_a_chip"]) == (32, 8)
    assert facts["model_flops"] == 18e12
    assert facts["utilisation"] == facts["utilisation_by_compiler"] == 0.5


def test_each_phase_is_planned_with_its_own_rows_and_steps(planned):
    short, long = planned("bert_base", "--long-phase.batch-size", "64", held=10)
    assert (short["phase"], short["batch_size"], short["row_length"]) == (1, 256, 128)
    assert (long["phase"], long["batch_size"], long["row_length"]) == (2, 64, 512)
    # 900,000 and 100,000 steps, 0.04 chip-hours each.
    assert short["run"]["chip_hours"] == pytest.approx(36_000)
    assert long["run"]["chip_hours"] == pytest.approx(4000)


def test_a_state_that_is_given_up_is_counted_once(planned):
    """The new weights stand where the old ones stood."""
    (facts,) = planned("bert_tiny")
    assert facts["memory"] == {
        # Half of 16 x 4 float32; twice that.
        "weights": 128,
        "optimiser": 256,
        "activations": 4000 / 4,
        "temporary": TEMPORARY,
        "results": OUTPUTS - ALIASED,
        "together": ARGUMENTS + TEMPORARY + (OUTPUTS - ALIASED),
    }


@pytest.mark.parametrize(("held", "fits"), [(650, True), (651, False)])
def test_a_plan_fits_in_97_hundredths_of_a_chip(planned, held, fits):
    (facts,) = planned("bert_tiny", held=held)
    assert facts["memory"]["together"] == held + 300 + 20
    assert facts["fits"] is fits


def test_the_largest_batch_is_sought_by_doubling(planned):
    tried = planned("bert_tiny", "--largest", held=150)
    assert [(one["batch_size"], one["fits"]) for one in tried] == [
        (32, True),
        (64, True),
        (128, True),
        (256, False),
    ]


def test_what_the_compiler_refuses_for_want_of_memory_does_not_fit(planned, capsys):
    (facts,) = planned("bert_tiny", refused="RESOURCE_EXHAUSTED: out of\n  memory")
    assert (facts["fits"], facts["compiler"]) == (
        False,
        "RESOURCE_EXHAUSTED: out of memory",
    )
    assert "memory" not in facts
    assert "does not fit: RESOURCE_EXHAUSTED" in capsys.readouterr().out
