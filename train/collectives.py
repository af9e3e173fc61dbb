# SPDX-License-Identifier: Apache-2.0
"""What a compiled program sends between devices, read off its text."""

import math
import re
from typing import NamedTuple

import jax.numpy as jnp

KINDS = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
    "ragged-all-to-all",
)
_INSTRUCTION = re.compile(
    rf"= (?P<result>\(.*?\)|\S+) (?P<kind>{'|'.join(KINDS)})(?P<start>-start)?\("
)
_ARRAY = re.compile(r"\b(?P<type>pred|[a-z]+\d+[a-z0-9]*)\[(?P<axes>[\d,]*)\]")
_NAMES = {"pred": "bool", "s": "int", "u": "uint", "f": "float", "c": "complex"}


class Shape(NamedTuple):
    """An array of a program.

    Attributes:
      dtype: as NumPy names it.
      axes: lengths.
    """

    dtype: str
    axes: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Return its size."""
        return math.prod(self.axes) * jnp.dtype(self.dtype).itemsize


class Collective(NamedTuple):
    """One instruction that moves arrays between devices.

    Attributes:
      kind: one of `KINDS`.
      results: what each device has after it.
      group_size: devices that take part together; 0 where the text does not say.
      source: where in the program it comes from, as jax names it.
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
      >>> line = "%a = f32[8,4]{1,0} all-gather(%x), replica_groups={{0,1}}, x=1"
      >>> collectives_of(line)[0].num_bytes, collectives_of(line)[0].group_size
      (128, 2)
    """
    found = []
    for line in text.splitlines():
        match = _INSTRUCTION.search(line)
        if not match:
            continue
        shapes = tuple(
            Shape(_dtype(array["type"]), _axes(array["axes"]))
            for array in _ARRAY.finditer(match["result"])
        )
        if match["start"] and match["kind"] in ("all-gather", "collective-permute"):
            # The first half are the operands, which such an instruction gives back.
            shapes = shapes[len(shapes) // 2 :]
        source = re.search(r'op_name="([^"]*)"', line)
        found.append(
            Collective(
                match["kind"], shapes, _group_size(line), source[1] if source else ""
            )
        )
    return found


def _dtype(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith("bf"):
        return "bfloat16"
    return _NAMES[name[0]] + name[1:]


def _axes(text: str) -> tuple[int, ...]:
    return tuple(int(length) for length in text.split(",") if length)


def _group_size(line: str) -> int:
    """Read one of the three forms in which XLA writes groups."""
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", line):
        return len(_axes(listed[1]))
    if counted := re.search(r"replica_groups=\[(\d+),(\d+)\]", line):
        return int(counted[2])
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", line):
        lengths = dict(re.findall(r"('\w+')=(\d+)", named[1]))
        axes = named[2].split(",")
        return math.prod(int(lengths[axis.strip()]) for axis in axes if axis.strip())
    return 0
