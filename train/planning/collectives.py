# SPDX-License-Identifier: Apache-2.0
"""The collectives of a compiled program, parsed from its HLO text."""

import math
import re
from typing import NamedTuple

from train.planning.program import Shape, axes_in, read_instruction

KINDS = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "ragged-all-to-all",
)


class Collective(NamedTuple):
    """One collective instruction.

    Attributes:
      kind: one of `KINDS`.
      results: the arrays on each device after it.
      group_size: devices of a group; 0 if the text does not contain it.
      source: the operation of the program that it comes from, as named by jax.
    """

    kind: str
    results: tuple[Shape, ...]
    group_size: int
    source: str

    @property
    def num_bytes(self) -> int:
        """Return the size of the results."""
        return sum(shape.num_bytes for shape in self.results)


def collectives_of(text: str) -> list[Collective]:
    """List the collectives of a compiled program.

    Args:
      text: of `compiled.as_text()`.

    Example:
      >>> line = "  %a = f32[8,4]{1,0} all-gather(%x), replica_groups={{0,1}}, x=1"
      >>> collectives_of(line)[0].num_bytes, collectives_of(line)[0].group_size
      (128, 2)
    """
    found = []
    channels = set()
    for line in text.splitlines():
        instruction = read_instruction(line)
        if instruction is None:
            continue
        kind = instruction.kind.removesuffix("-start")
        if kind not in KINDS:
            continue
        if channel := re.search(r"\bchannel_id=(\d+)", line):
            # Written again where it begins, goes on beside other work, and ends.
            if channel[1] in channels:
                continue
            channels.add(channel[1])
        shapes = instruction.results
        if kind != instruction.kind and kind in ("all-gather", "collective-permute"):
            # The first half are the operands, which such an instruction gives back.
            shapes = shapes[len(shapes) // 2 :]
        found.append(Collective(kind, shapes, _group_size(line), instruction.source))
    return found


def _group_size(line: str) -> int:
    """Parse the group size from any of XLA's three notations."""
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", line):
        return len(axes_in(listed[1]))
    if counted := re.search(r"replica_groups=\[(\d+),(\d+)\]", line):
        return int(counted[2])
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", line):
        lengths = dict(re.findall(r"('\w+')=(\d+)", named[1]))
        axes = named[2].split(",")
        return math.prod(int(lengths[axis.strip()]) for axis in axes if axis.strip())
    return 0
