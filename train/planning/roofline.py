# SPDX-License-Identifier: Apache-2.0
"""The roofline model: a lower bound on the time of a compiled program.

Williams et al. 2009: the maximum of three times, of the operations at peak rate, of the
memory traffic at full bandwidth, and of the communication between chips. Of the traffic
only the bytes count that cross the large memory (HBM): what stays on the chip takes no
bandwidth. It assumes that all three overlap perfectly; real programs take longer.
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
    """The work of a program on each chip, and its minimal times.

    Attributes:
      flops: operations as counted by the compiler, without custom kernels.
      traffic: bytes read and written, see `train.planning.traffic`.
      counted_bytes: bytes as counted by the compiler.
      collectives: communication between chips.
      seconds: the times, by name: "compute", "memory", "interconnect".
    """

    flops: float
    traffic: Traffic
    counted_bytes: float
    collectives: Sequence[Collective]
    seconds: dict[str, float]

    @property
    def bound(self) -> str:
        """Return the name of the longest time."""
        return max(self.seconds, key=lambda name: self.seconds[name])

    @property
    def step_seconds(self) -> float:
        """Return the minimal time of a step."""
        return self.seconds[self.bound]

    def utilisation(
        self, model_flops: float, chip: Chip, num_bytes: float | None = None
    ) -> float:
        """Return the maximal model FLOPs utilisation (MFU).

        Args:
          model_flops: a chip's share of a step's operations, without recomputation.
          chip: the chip.
          num_bytes: to and from the large memory, instead of those of `traffic`.
        """
        seconds = self.step_seconds
        if num_bytes is not None:
            times = self.seconds | {"memory": num_bytes / chip.bandwidth}
            seconds = max(times.values())
        return model_flops / chip.flops / seconds


def roofline_of(program: Any, chip: Chip) -> Roofline:
    """Compute the roofline of a compiled program."""
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
            "memory": traffic.of_memory / chip.bandwidth,
            "interconnect": received / chip.interconnect,
        },
    )


def bytes_received(collective: Collective) -> float:
    """Return the minimal bytes that each chip must receive for a collective.

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
