# SPDX-License-Identifier: Apache-2.0
"""Estimates memory and step time of a run on a TPU slice, without a TPU.

    python -m train.plan bert_base --topology v5e:16x16 --batch-size 16384

The training step is compiled for the topology on this machine. The compiled program
gives its memory, its operations, the bytes it moves and the collectives between chips.
From these and the chip's published specifications follows a lower bound on the time of
a step. Neither data nor weights are needed.
"""

import embed_jax.commands.starting  # noqa: F401  # Before what takes long to import.

# isort: split

import dataclasses
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from tyro.conf import arg

from embed_jax.checks import check_at_least, check_fields
from embed_jax.devices.platform import tracing_for
from embed_jax.exit_status import exit_status
from embed_jax.files.json_file import json_text
from embed_jax.files.kinds import FileKind, json_with
from embed_jax.files.output_file import open_output
from embed_jax.files.outputs import output_file
from embed_jax.layers.layer_spec import parse_layer_spec
from train.called import called
from train.config import Phase, Pretraining, read_command
from train.loop.log import duration
from train.loop.phases import check_shared, make_phased_optimizer
from train.loop.sharding import training_mesh
from train.planning.abstract import Abstract, abstract_embedding, abstract_step
from train.planning.hardware import Chip, chip_of
from train.planning.roofline import Roofline, bytes_received, roofline_of
from train.planning.tpu_topology import topology_devices

# Of a chip's memory; the runtime keeps a little for itself.
USABLE = 0.97
PLAN = FileKind(
    "a plan", json_with("phase", "config", "for", "topology", "chips", "fits")
)
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
_PARTS_SHOWN = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """The TPU slice, the program to plan, and the output.

    Attributes:
      topology: generation and shape of a TPU slice: v5e:4x4, v5p:2x2x2, v6e:16x16, …
      fsdp: chips that share one copy of the weights.
      purpose: the training step, or the embedding of a batch with as many rows of the
        same length.
      layers: the layer_spec of the embedding.
      largest: double the batch size until it does not fit; one compilation each.
      output: a file for the plan as JSON.
      overwrite: replace an existing plan.
    """

    topology: str
    fsdp: int = 1
    purpose: Annotated[Literal["train", "embed"], arg(name="for")] = "train"
    layers: str = "last"
    largest: bool = False
    output: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)
        check_at_least(self, 1, "fsdp")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    given = sys.argv[1:] if arguments is None else arguments

    def action() -> None:
        options, experiment = read_command(
            given, called("plan"), Options, __doc__ or ""
        )
        # Nothing runs; a TPU that is here is left alone, and none is looked for.
        jax.config.update("jax_platforms", "cpu")
        with output_file(options.output, PLAN, replace=options.overwrite):
            plans = plan(given[0], experiment, options)
            sys.stdout.write("\n".join(map(describe, plans)))
            if options.output:
                with open_output(options.output, replace=options.overwrite) as file:
                    file.write((json_text(plans, indent=1) + "\n").encode())

    return exit_status("train.plan", action, "nothing was written")


def plan(name: str, experiment: Pretraining, options: Options) -> list[dict[str, Any]]:
    """Compile and analyse each phase of a run.

    With `options.largest`, for increasing batch sizes.

    Args:
      name: of the configuration, for the plan.
      experiment: the configuration.
      options: the TPU slice and the program to plan.

    Returns:
      A JSON object for each phase and each batch size that was tried.

    Raises:
      ValueError: no such topology, an unknown chip, a batch that cannot be divided
        among the chips, or a warm-up that is longer than its steps.
    """
    parse_layer_spec(options.layers)
    if options.purpose == "train":
        make_phased_optimizer(experiment)  # refuses what the run would refuse
    devices = topology_devices(options.topology)
    chip = chip_of(devices[0].device_kind)
    if chip is None:
        raise ValueError(f"nothing is known of a {devices[0].device_kind}")
    if options.purpose == "train":
        mesh = training_mesh(options.fsdp, devices)
        for phase in experiment.phases():
            check_shared(phase.experiment, mesh, experiment.place_of(phase))
    plans = []
    for number, phase in enumerate(experiment.phases(), start=1):
        while True:
            facts = _plan_one(name, phase, options, devices, chip)
            plans.append({"phase": number, **facts})
            if not options.largest or not facts["fits"]:
                break
            twice = 2 * phase.experiment.batch_size
            larger = dataclasses.replace(phase.experiment, batch_size=twice)
            phase = phase._replace(experiment=larger)
    return plans


def _plan_one(
    name: str, phase: Phase, options: Options, devices: Any, chip: Chip
) -> dict[str, Any]:
    experiment = phase.experiment
    mesh = training_mesh(options.fsdp, devices)
    dtype = jnp.dtype("bfloat16" if experiment.dtype == "auto" else experiment.dtype)
    what: Abstract
    if options.purpose == "embed":
        what = abstract_embedding(experiment, mesh, dtype, options.layers)
    else:
        what = abstract_step(experiment, mesh, dtype)
    facts: dict[str, Any] = {
        "config": name,
        "for": options.purpose,
        "topology": options.topology,
        "chip": devices[0].device_kind,
        "chips": mesh.size,
        "mesh": dict(mesh.shape),
        "batch_size": experiment.batch_size,
        "rows_a_chip": experiment.batch_size / mesh.size,
        "row_length": what.row_length,
        "dtype": str(dtype),
    }
    try:
        with tracing_for("tpu"):
            program = what.compile()
            memory = memory_of(program, what, mesh.size)
    except Exception as error:  # what the compiler raises is of no public class
        if OUT_OF_MEMORY not in str(error):
            raise
        reason = " ".join(str(error).split())[:300]
        return {**facts, "fits": False, "compiler": reason}
    line = roofline_of(program, chip)
    tokens = experiment.batch_size * what.row_length
    products = what.model_flops / mesh.size
    facts |= {
        "memory": memory,
        "memory_of_chip": chip.memory,
        "fits": memory["together"] <= USABLE * chip.memory,
        "flops": line.flops,
        "model_flops": products,
        "bytes": {
            "moved": line.traffic.num_bytes,
            "of_memory": line.traffic.of_memory,
            "compiler": line.counted_bytes,
        },
        "moved_by": line.traffic.by_part(),
        "collectives": _grouped(line),
        "seconds": {**line.seconds, "step": line.step_seconds},
        "bound": line.bound,
        "utilisation": line.utilisation(products, chip),
        "utilisation_by_compiler": line.utilisation(products, chip, line.counted_bytes),
        "tokens_per_second": tokens / line.step_seconds,
        "compiler_seconds": _sane((program.cost_analysis() or {}), line),
    }
    if options.purpose == "train":
        steps = phase.last - phase.first
        whole = steps * line.step_seconds
        facts["run"] = {
            "steps": steps,
            "seconds": whole,
            "chip_hours": whole * mesh.size / 3600,
        }
    return facts


def memory_of(program: Any, what: Abstract, num_chips: int) -> dict[str, float]:
    """Return the bytes that a compiled program needs on each chip, by kind.

    Args:
      program: the compiled program.
      what: its source; it names the arrays that exist before.
      num_chips: number of chips that share the activations.

    Returns:
      The bytes of each part of `what.held`, then of "activations", "temporary",
      "results" and "together". Donated arguments are counted once.
    """
    analysis = program.memory_analysis()
    parts = {name: bytes_a_chip(tree) for name, tree in what.held.items()}
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    temporary = analysis.temp_size_in_bytes
    sizes = {
        **parts,
        # As jax keeps them for the way back, before the compiler has looked at it.
        "activations": what.kept_bytes() / num_chips,
        "temporary": temporary,
        "results": results,
        "together": analysis.argument_size_in_bytes + temporary + results,
    }
    return {name: float(size) for name, size in sizes.items()}


def bytes_a_chip(tree: Any) -> int:
    """Return the bytes of sharded arrays on each device."""
    return sum(
        leaf.dtype.itemsize * math.prod(leaf.sharding.shard_shape(leaf.shape))
        for leaf in jax.tree.leaves(tree)
    )


def _grouped(line: Roofline) -> dict[str, dict[str, float]]:
    """Sum the collectives by kind and group size."""
    groups: dict[str, dict[str, float]] = defaultdict(
        lambda: {"number": 0, "bytes": 0, "received": 0.0}
    )
    for each in line.collectives:
        group = groups[f"{each.kind} of {each.group_size}"]
        group["number"] += 1
        group["bytes"] += each.num_bytes
        group["received"] += bytes_received(each)
    return dict(groups)


def _sane(costs: dict[str, Any], line: Roofline) -> float | None:
    """Return the compiler's own estimate of the time, if it is plausible."""
    seconds = float(costs.get("optimal_seconds", 0.0))
    return seconds if line.step_seconds / 2 < seconds < 100 else None


def describe(facts: dict[str, Any]) -> str:
    """Format a plan as text."""
    mesh = " x ".join(f"{name} {size}" for name, size in facts["mesh"].items())
    head = (
        f"{facts['config']}, {facts['for']} on {facts['topology']}: {facts['chips']} x "
        f"{facts['chip']}, {mesh}; {facts['rows_a_chip']:g} rows of "
        f"{facts['row_length']} a chip, {facts['dtype']}"
    )
    if "memory" not in facts:
        return f"{head}\n  does not fit: {facts['compiler']}\n"
    memory = facts["memory"]
    parts = " · ".join(
        f"{name} {_gb(size)}" for name, size in memory.items() if name != "together"
    )
    sent = " · ".join(
        f"{group['number']:g} {name}: {_gb(group['bytes'])}"
        for name, group in facts["collectives"].items()
    )
    parts_moved = ", ".join(
        f"{part} {size / facts['bytes']['moved']:.0%}"
        for part, size in list(facts["moved_by"].items())[:_PARTS_SHOWN]
    )
    seconds = facts["seconds"]
    times = " · ".join(
        f"{name} {1e3 * value:.2f} ms" for name, value in seconds.items()
    )
    verdict = "fits" if facts["fits"] else "does not fit"
    lines = [
        head,
        f"  memory a chip   {parts}",
        f"                  together {_gb(memory['together'])} of "
        f"{_gb(facts['memory_of_chip'])}: {verdict}",
        f"  a chip computes {facts['flops'] / 1e12:.2f} TFLOP, "
        f"{facts['model_flops'] / 1e12:.2f} in the model's products as written",
        f"  and moves       {_gb(facts['bytes']['moved'])}: {parts_moved}",
        f"                  {_gb(facts['bytes']['of_memory'])} of it to and from the "
        f"large memory; the compiler counts {_gb(facts['bytes']['compiler'])}",
        f"  chips send      {sent or 'nothing'}",
        f"  at least        {times}, bound by {facts['bound']}",
        f"  utilisation     at most {facts['utilisation']:.1%} of the peak, "
        f"{facts['utilisation_by_compiler']:.1%} if all that the compiler counts "
        "crossed the large memory; "
        f"{facts['tokens_per_second']:,.0f} tokens/s",
    ]
    if facts["compiler_seconds"]:
        lines.append(f"  the compiler    {1e3 * facts['compiler_seconds']:.2f} ms")
    if "run" in facts:
        run = facts["run"]
        lines.append(
            f"  these steps     {run['steps']:,} steps, {duration(run['seconds'])}, "
            f"{run['chip_hours']:,.0f} chip-hours"
        )
    return "\n".join(lines) + "\n"


def _gb(size: int | float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"


if __name__ == "__main__":
    sys.exit(main())
