# SPDX-License-Identifier: Apache-2.0
"""What a family hands over to be exported: a function of arrays, and what it needs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Array, Float

PROGRAM, WEIGHTS, MANIFEST = "program.bin", "weights.npz", "manifest.json"
"""The files of an exported embedder."""
PLATFORMS = ("cpu", "cuda", "tpu")
"""For which one program is lowered."""


class Exportable(NamedTuple):
    """An `embed` with a fixed model and spec.

    Attributes:
      function: from the weights and a dictionary of inputs to vectors `[B T width]`.
      weights: a tree of arrays.
      inputs: of each input the axes, letters or numbers, and the dtype.
      constraints: on the letters, as `jax.export.symbolic_shape` reads them.
      save_text: writes the files that make inputs of text into a directory, and returns
        what else must be known for it, as JSON can hold it.
      reader: a Python file that stands alone and is put beside the program. Its
        `Reader(directory, text, shape_for)`, called with sentences (lists of words)
        and the number of the first one, gives the inputs, and for each sentence the
        positions of its words in its row, -1 for a word without one.
    """

    function: Callable[[Any, Mapping[str, Any]], Float[Array, "B T _"]]
    weights: Any
    inputs: Mapping[str, tuple[str, str]]
    constraints: Sequence[str]
    save_text: Callable[[Path], Mapping[str, Any]]
    reader: Path
