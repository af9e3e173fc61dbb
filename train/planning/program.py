# SPDX-License-Identifier: Apache-2.0
"""The text of a compiled program, instruction by instruction."""

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
    """An array of a program.

    Attributes:
      dtype: as NumPy names it.
      axes: lengths.
      on_chip: whether it lies in the chip's own small memory.
    """

    dtype: str
    axes: tuple[int, ...]
    on_chip: bool = False

    @property
    def num_bytes(self) -> int:
        """Return its size."""
        return math.prod(self.axes) * jnp.dtype(self.dtype).itemsize


class Instruction(NamedTuple):
    """One line of a program.

    Attributes:
      name: of its result.
      kind: such as "fusion" or "all-gather-start".
      results: its arrays, one unless it gives a tuple.
      operands: names of what it reads.
      value: what stands in place of operands, such as a constant's number.
      attributes: the rest of the line.
      is_root: whether it is what its computation gives back.
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
        """Return where it comes from, as jax names it."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""

    def called(self, role: str) -> str | None:
        """Return the computation that it calls as "calls", "body" or "condition"."""
        found = re.search(rf"\b{role}=%?([\w.\-]+)", self.attributes)
        return found[1] if found else None


class Program(NamedTuple):
    """A program.

    Attributes:
      computations: their instructions in order, by name.
      entry: the name of the one that is run.
    """

    computations: dict[str, list[Instruction]]
    entry: str


def read_program(text: str) -> Program:
    """Read a program.

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
    """Read one line, or return None where it is none.

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
    """Yield the arrays of a type, of which a tuple has several."""
    for array in _ARRAY.finditer(text):
        on_chip = "S(1)" in (array["layout"] or "")
        yield Shape(_dtype(array["type"]), axes_in(array["axes"]), on_chip)


def axes_in(text: str) -> tuple[int, ...]:
    """Read numbers with commas between."""
    return tuple(int(length) for length in text.split(",") if length)


def _closing(text: str) -> int:
    """Return the place after the bracket that closes the first one."""
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
