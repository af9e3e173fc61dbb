# SPDX-License-Identifier: Apache-2.0
"""How long a compiled program must take at least, from what it computes and moves.

Williams et al. 2009: the longest of three times, that of the operations at the chip's
peak, that of the bytes at the memory's, and that of what chips send each other. That
needs all three to overlap perfectly; no program does better, and real ones do worse.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from train.planning.collectives import Collective, collectives_of
from train.planning.hardware import Chip
from train.planning.program import read_program
from train.planning.traffic import Traffic, traffic_of


@dataclasses.dataclass(frozen=True)
class Roofline:
    """What a program does on each chip.

    Attributes:
      flops: operations that the compiler counted; those of kernels it cannot see into
        are not among them.
      traffic: what instructions read and write, see `train.planning.traffic`.
      counted_bytes: the same as the compiler counts it.
      collectives: what is sent.
      seconds: the times, by name: "compute", "memory", "interconnect".
    """

    flops: float
    traffic: Traffic
    counted_bytes: float
    collectives: Sequence[Collective]
    seconds: dict[str, float]

    @property
    def bound(self) -> str:
        """Return what takes longest."""
        return max(self.seconds, key=lambda name: self.seconds[name])

    @property
    def step_seconds(self) -> float:
        """Return the time of a step, at least."""
        return self.seconds[self.bound]

    def utilisation(
        self, model_flops: float, chip: Chip, num_bytes: float | None = None
    ) -> float:
        """Return the part of the peak that the model's own products can make use of.

        Args:
          model_flops: a chip's share of the products of a step, nothing twice.
          chip: whose peak.
          num_bytes: that are moved instead of those of `traffic`.
        """
        seconds = self.step_seconds
        if num_bytes is not None:
            times = self.seconds | {"memory": num_bytes / chip.bandwidth}
            seconds = max(times.values())
        return model_flops / chip.flops / seconds


def roofline_of(program: Any, chip: Chip) -> Roofline:
    """Read a compiled program."""
    costs = program.cost_analysis() or {}
    flops = costs.get("flops", 0.0)
    text = program.as_text()
    traffic, collectives = traffic_of(read_program(text)), collectives_of(text)
    received = sum(map(bytes_received, collectives))
    return Roofline(
        flops,
        traffic,
        costs.get("bytes accessed", 0.0),
        collectives,
        {
            "compute": flops / chip.flops,
            "memory": traffic.num_bytes / chip.bandwidth,
            "interconnect": received / chip.interconnect,
        },
    )


def bytes_received(collective: Collective) -> float:
    """Return what a chip must receive, at least, for a collective to be done.

    Example:
      >>> line = "  %a = f32[8]{0} all-reduce(%x), replica_groups={{0,1,2,3}}, x=1"
      >>> bytes_received(collectives_of(line)[0])
      48.0
    """
    size = collective.group_size
    others = 1.0 if not size else (size - 1) / size
    match collective.kind:
        case "all-reduce":  # scattered, then gathered
            return 2 * collective.num_bytes * others
        case "reduce-scatter":  # the result is one part of as many
            return float(collective.num_bytes * max(size - 1, 1))
        case _:
            return collective.num_bytes * others
