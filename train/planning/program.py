# SPDX-License-Identifier: Apache-2.0
"""A parser for the HLO text of a compiled program."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp

_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_NAMED = re.compile(r"^\s+(?:ROOT )?%?(?P<name>[\w.\-]+) = ")
_ARRAY = re.compile(
    r"\b(?P<type>pred|[a-z]+\d+[a-z0-9]*)\[(?P<axes>[\d,]*)\](?P<layout>\{[^}]*\})?"
)
_NAMES = {"pred": "bool", "s": "int", "u": "uint", "f": "float", "c": "complex"}


class Shape(NamedTuple):
    """The shape of an array in a program.

    Attributes:
      dtype: NumPy's name.
      axes: lengths of the axes.
      on_chip: whether it is in the chip's on-chip memory, not in HBM.
    """

    dtype: str
    axes: tuple[int, ...]
    on_chip: bool = False

    @property
    def num_bytes(self) -> int:
        """Return the size in bytes."""
        return math.prod(self.axes) * jnp.dtype(self.dtype).itemsize


class Instruction(NamedTuple):
    """One HLO instruction.

    Attributes:
      name: of its result.
      kind: the opcode, such as "fusion" or "all-gather-start".
      results: its result arrays, one unless it returns a tuple.
      operands: names of its operands.
      value: the text in place of operands, such as a constant's number.
      attributes: the rest of the line.
      is_root: whether it is the result of its computation.
    """

    name: str
    kind: str
    results: tuple[Shape, ...]
    operands: tuple[str, ...]
    value: str
    attributes: str
    is_root: bool = False

    @property
    def source(self) -> str:
        """Return the operation that it comes from, as named by jax (`op_name`)."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""

    def called(self, role: str) -> str | None:
        """Return the computation called in a role: "calls", "body" or "condition"."""
        found = re.search(rf"\b{role}=%?([\w.\-]+)", self.attributes)
        return found[1] if found else None


class Program(NamedTuple):
    """A parsed HLO module.

    Attributes:
      computations: the instructions of each computation, in order, by its name.
      entry: the name of the entry computation.
    """

    computations: dict[str, list[Instruction]]
    entry: str


def read_program(text: str) -> Program:
    """Parse a program.

    Args:
      text: of `compiled.as_text()`.
    """
    computations: dict[str, list[Instruction]] = {}
    entry, held = "", None
    for line in text.splitlines():
        if started := _COMPUTATION.match(line):
            held = computations.setdefault(started["name"], [])
            entry = started["name"] if started["entry"] else entry
        elif line.startswith("}"):
            held = None
        elif held is not None and (instruction := read_instruction(line)):
            held.append(instruction)
    return Program(computations, entry)


def read_instruction(line: str) -> Instruction | None:
    """Parse one line; return None if it is not an instruction.

    Example:
      >>> read_instruction("  %a.1 = (f32[8]{0:T(8)S(1)}, u32[]) copy-start(%b), x=1")
      ... # doctest: +ELLIPSIS
      Instruction(name='a.1', kind='copy-start', results=(Shape(dtype='float32', ...
    """
    named = _NAMED.match(line)
    if not named:
        return None
    rest = line[named.end() :]
    end = _closing(rest) if rest.startswith("(") else rest.find(" ")
    result, rest = rest[:end], rest[end:].lstrip()
    opening = rest.find("(")
    if opening < 0:
        return None
    end = opening + _closing(rest[opening:])
    return Instruction(
        name=named["name"],
        kind=rest[:opening],
        results=tuple(shapes_in(result)),
        operands=tuple(re.findall(r"%([\w.\-]+)", rest[opening:end])),
        value=rest[opening + 1 : end - 1],
        attributes=rest[end:],
        is_root="ROOT " in line[: named.end()],
    )


def shapes_in(text: str) -> Iterator[Shape]:
    """Yield the shapes in a type, of which a tuple has several."""
    for array in _ARRAY.finditer(text):
        on_chip = "S(1)" in (array["layout"] or "")
        yield Shape(_dtype(array["type"]), axes_in(array["axes"]), on_chip)


def axes_in(text: str) -> tuple[int, ...]:
    """Parse numbers separated by commas."""
    return tuple(int(length) for length in text.split(",") if length)


def _closing(text: str) -> int:
    """Return the position after the bracket that closes the first one."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth:
            return place + 1
    return len(text)


def _dtype(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith("bf"):
        return "bfloat16"
    if name.startswith("f8"):
        return "uint8"  # of the same size
    return _NAMES[name[0]] + name[1:]
