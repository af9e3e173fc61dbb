# SPDX-License-Identifier: Apache-2.0
"""The memory traffic of a compiled program, counted instruction by instruction.

The compiler's own count is too high. For an array that is prefetched to on-chip memory
it counts the copy, the joining of its pieces and the read, up to five times the array;
for a table that is read or updated at some rows it counts the whole table. Here every
instruction reads its operands and writes its results once, and of a table only the rows
that are read. Two sums are kept: of all arrays, and of those in the large memory (HBM),
whose bandwidth bounds the time of a step.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from train.planning.collectives import KINDS as COLLECTIVES
from train.planning.program import Instruction, Program, Shape

# They name what is there, or end what another instruction counts.
_FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
    "replica-id",
    "opt-barrier",
}
_RENAMING = {"bitcast", "reshape", "copy", "convert", "transpose"}
_FETCHING = {"copy-start", "slice-start"}
# Calls of the compiler's own that move nothing.
_NOTES = (
    "AllocateBuffer",
    "AssumeGatherIndicesInBound",
    "ConcatBitcast",
    "PrepareAsyncCallDone",
    "PrepareAsyncCallStart",
)


class Traffic(NamedTuple):
    """Bytes that a program reads and writes.

    Attributes:
      num_bytes: read and written by its instructions.
      of_memory: those in HBM, prefetches from HBM included.
      by_source: `num_bytes` by the operation they come from, as named by jax.
    """

    num_bytes: int
    of_memory: int
    by_source: Counter[str]

    def by_part(self) -> dict[str, int]:
        """Sum by part of the model, the largest sum first.

        Forward and backward pass of a part, and all layers of a kind, count as one.
        """
        parts: Counter[str] = Counter()
        for source, num_bytes in self.by_source.items():
            parts[_part(source)] += num_bytes
        return dict(parts.most_common())


def traffic_of(program: Program) -> Traffic:
    """Count the bytes that a program moves; loops count as often as they run."""
    counter = _Count(program)
    counter.add(program.entry, 1)
    by_source = counter.by_source
    return Traffic(sum(by_source.values()), counter.of_memory, by_source)


# What jax puts around a part: computed again, divided over devices.
_WRAPPERS = {"checkpoint", "rematted_computation", "shard_map"}


def _part(source: str) -> str:
    """Return the part of the model that a source belongs to.

    Example:
      >>> _part("jit(flat)/transpose(jvp(Encoder))/layer_3/mlp/up/dot_general")
      'Encoder/layer/mlp'
      >>> _part("jit(flat)/add")
      'the rest'
    """
    names = [name for name in source.split("/")[1:-1] if "jit(" not in name]
    names = [name for name in names if name not in _WRAPPERS]
    plain = [re.sub(r"^(?:\w+\()*|\)*$|_\d+", "", name) for name in names]
    named = [name for name in plain if name and not set(".>") & set(name)]
    return "/".join(named[:3]) or "the rest"


_PartOf = Callable[[int], int | None]
"""Maps the index of an operand or result to the bytes that count; None for all."""


def _all_of(number: int) -> None:
    """Return None: all bytes of an array count."""
    del number


class _Count:
    """Counts the bytes of one program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.by_source: Counter[str] = Counter()
        self.of_memory = 0

    def add(self, computation: str, times: int) -> None:
        instructions = self._program.computations[computation]
        by_name = {instruction.name: instruction for instruction in instructions}
        for instruction in instructions:
            kind = instruction.kind
            if kind in _FREE or kind.endswith("-done") or _is_note(instruction):
                continue
            if kind == "while":
                body, condition = (
                    instruction.called(role) or "" for role in ("body", "condition")
                )
                self.add(body, times * self._num_turns(condition))
            elif kind in ("call", "conditional", "async-start"):
                for role in ("to_apply", "calls", "true_computation"):
                    if called := instruction.called(role):
                        self.add(called, times)
            elif kind in _FETCHING:
                self.of_memory += times * _fetched(instruction)
            else:
                self._note(instruction, by_name, times)

    def _note(
        self, instruction: Instruction, by_name: dict[str, Instruction], times: int
    ) -> None:
        for shape, moved in self._moved(instruction, by_name):
            self.by_source[instruction.source] += times * moved
            if not shape.on_chip:
                self.of_memory += times * moved

    def _moved(
        self, instruction: Instruction, by_name: dict[str, Instruction]
    ) -> Iterable[tuple[Shape, int]]:
        """Yield the arrays that an instruction reads and writes, with their bytes.

        Arrays of a tuple, such as a loop's carry, are counted where they are taken from
        it.
        """
        read_of, written_of = self._parts(instruction)
        for number, name in enumerate(instruction.operands):
            shapes = by_name[name].results if name in by_name else ()
            if len(shapes) == 1:
                part = read_of(number)
                yield shapes[0], shapes[0].num_bytes if part is None else part
        for number, shape in enumerate(instruction.results):
            part = written_of(number)
            yield shape, shape.num_bytes if part is None else part

    def _parts(self, instruction: Instruction) -> tuple[_PartOf, _PartOf]:
        """Return the bytes read of each operand and written of each result."""
        size = sum(shape.num_bytes for shape in instruction.results)
        match instruction.kind:
            case "gather" | "dynamic-slice" | "slice":
                return lambda number: size if number == 0 else None, _all_of
            case "fusion":
                called = instruction.called("calls") or ""
                return (
                    lambda number: self._read_of_parameter(called, number),
                    lambda number: self._written_of_result(called, number),
                )
        return _all_of, _all_of

    def _read_of_parameter(self, computation: str, number: int) -> int | None:
        """Return the bytes that a fused computation reads of a parameter."""
        instructions = self._program.computations[computation]
        on_the_way = _is_beside_a_collective(computation)
        names = {
            each.name
            for each in instructions
            if each.kind == "parameter" and each.value == str(number)
        }
        total = 0
        for each in instructions:
            places = [at for at, name in enumerate(each.operands) if name in names]
            if not places:
                continue
            if each.kind in _RENAMING and not each.is_root:
                names.add(each.name)
                continue
            if on_the_way and _hands_on(each):
                continue
            part = self._read_by(each, places, instructions)
            if part is None:
                return None
            total += part
        return total

    def _read_by(
        self, each: Instruction, places: list[int], instructions: list[Instruction]
    ) -> int | None:
        if places != [0] and each.kind != "fusion":
            return None
        match each.kind:
            case "gather" | "dynamic-slice" | "slice":
                return sum(shape.num_bytes for shape in each.results)
            case "scatter" | "dynamic-update-slice":
                # In place: as much is read as is written over.
                return _size_of(each.operands[_UPDATES[each.kind]], instructions)
            case "fusion":
                called = each.called("calls") or ""
                parts = [self._read_of_parameter(called, at) for at in places]
                known = [part for part in parts if part is not None]
                return sum(known) if len(known) == len(parts) else None
        return None

    def _written_of_result(self, computation: str, number: int) -> int | None:
        """Return the bytes that a fused computation writes of a result.

        Fewer than all if the result is an operand that is updated in place or passed
        through.
        """
        instructions = self._program.computations[computation]
        by_name = {each.name: each for each in instructions}
        result = next((each for each in instructions if each.is_root), None)
        if result is not None and result.kind == "tuple":
            result = by_name.get(result.operands[number])
            if (
                result is not None
                and _is_beside_a_collective(computation)
                and (result.kind == "parameter" or _hands_on(result))
            ):
                return 0
        while result is not None and result.kind in _RENAMING and result.operands:
            result = by_name.get(result.operands[0])
        if result is None:
            return None
        if result.kind in _UPDATES:
            return _size_of(result.operands[_UPDATES[result.kind]], instructions)
        if result.kind == "fusion":
            return self._written_of_result(result.called("calls") or "", 0)
        return None

    def _num_turns(self, condition: str) -> int:
        """Return the trip count of a loop, the constant in its condition."""
        numbers = set()
        waiting = [condition]
        while waiting:
            for each in self._program.computations.get(waiting.pop(), ()):
                if each.kind == "constant" and each.results[0].dtype == "int32":
                    numbers.add(int(each.value))
                if called := each.called("calls"):
                    waiting.append(called)
        return max(numbers, default=1)


_UPDATES = {"scatter": 2, "dynamic-update-slice": 1}
"""Index of the operand that updates the first one, by opcode."""


def _is_beside_a_collective(computation: str) -> bool:
    """Return whether a fused computation runs beside a collective in flight.

    It passes the arrays of the collective through; these are counted at the start and
    at the end of the collective.
    """
    return computation.startswith("async_collective_fusion")


def _hands_on(instruction: Instruction) -> bool:
    """Return whether an instruction of such a computation only passes arrays on."""
    at_the_end = instruction.kind == "tuple" and instruction.is_root
    return at_the_end or instruction.kind in COLLECTIVES


def _is_note(instruction: Instruction) -> bool:
    if instruction.kind != "custom-call":
        return False
    return any(f'"{name}"' in instruction.attributes for name in _NOTES)


def _fetched(instruction: Instruction) -> int:
    """Return the bytes that are copied; the results also include the source."""
    return min(shape.num_bytes for shape in instruction.results if shape.axes)


def _size_of(name: str, instructions: list[Instruction]) -> int | None:
    for each in instructions:
        if each.name == name:
            return sum(shape.num_bytes for shape in each.results)
    return None
