# SPDX-License-Identifier: Apache-2.0
"""Slices of TFDS's splits, such as train[-10%:], held against what they name.

TFDS rounds a share of a split to examples, and takes a share of less than half of one
for the bound 0. Counted from the end that is the wrong end: of 30 examples train[-1%:]
would be all, and train[:-1%] none. What names no example is refused here; TFDS fails
later, in words about paths.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from embed_jax.messages import one_line

# A part of a sum: a name, and perhaps two bounds, each a number with or without a unit.
_SLICE = re.compile(r"(?P<name>[\w-]+)\[(?P<first>[^:\]]*):(?P<last>[^:\]]*)\]")
_BOUND = re.compile(r"(-?[\d_.]+)(%|shard|)")
_ALL = "all"


def as_named(builder: tfds.core.DatasetBuilder, name: str, split: str) -> str:
    """Return a split as TFDS must be asked for it to read what its name says.

    Args:
      builder: of a data set that is prepared.
      name: of the data set, for messages.
      split: such as train, train[-10%:] or train[:90%]+test.

    Raises:
      ValueError: there is no such split, it names no example, or a file of it is
        missing or empty; names it.
    """
    return "+".join(_part(builder, name, part.strip()) for part in split.split("+"))


def _part(builder: tfds.core.DatasetBuilder, name: str, part: str) -> str:
    """Return a part of a sum of splits as TFDS must be asked for it."""
    splits = builder.info.splits
    base = part.partition("[")[0]
    if base not in splits and base != _ALL:
        raise ValueError(
            f"split: {name} has no {part!r}; it has {', '.join(sorted(splits))}"
        )
    try:
        read = _counted_from_the_end(part, splits)
        named = splits[read]
    # `all` cannot be sliced, which TFDS says is not implemented.
    except (KeyError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"split: {name} has no {part!r} ({one_line(error)})"
        ) from error
    if named.num_examples <= 0:
        whole = splits[base].num_examples
        raise ValueError(
            f"split: {part!r} names none of the {whole:,} examples of {name}'s {base}"
        )
    for file in map(Path, named.filepaths):
        if not file.is_file() or not file.stat().st_size:
            state = "is empty" if file.is_file() else "is missing"
            raise ValueError(f"{file} {state}; prepare {name} with TFDS again")
    return read


def _counted_from_the_end(part: str, splits: Mapping[str, Any]) -> str:
    """Replace a bound from the end that TFDS would round to the beginning."""
    sliced = _SLICE.fullmatch(part)
    bounds = sliced and [_BOUND.fullmatch(sliced[name]) for name in ("first", "last")]
    if not sliced or not bounds:
        return part
    units = {bound[2] for bound in bounds if bound}
    if len(units) > 1:
        raise ValueError("its bounds are of two units")
    kept = []
    for text, bound in zip(sliced.group("first", "last"), bounds, strict=True):
        share = float(bound[1]) if bound and bound[2] == "%" else 0.0
        size = splits[sliced["name"]].num_examples
        kept.append("100%" if share < 0 and not round(share * size / 100) else text)
    if kept[1] == "0shard":
        # TFDS counts it from the end.
        kept = ["0", "0"]
    return f"{sliced['name']}[{kept[0]}:{kept[1]}]"
