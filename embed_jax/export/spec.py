# SPDX-License-Identifier: Apache-2.0
"""The interface between a family of encoders and `embed_jax.export`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Array, Float

PROGRAM, WEIGHTS, MANIFEST = "program.bin", "weights.npz", "manifest.json"
"""The files of an exported embedder."""
PLATFORMS = ("cpu", "cuda", "tpu")
"""The platforms that a program is lowered for."""


class Exportable(NamedTuple):
    """An embedding function with a fixed model and layer spec, ready for export.

    Attributes:
      function: maps the weights and a dictionary of inputs to vectors `[B T width]`.
      weights: a tree of arrays.
      inputs: the axes (letters or numbers) and the dtype of each input.
      constraints: on the letters, as `jax.export.symbolic_shape` takes them.
      save_text: writes the tokeniser's files into a directory, and returns the other
        settings of the reader, its `text`, as a JSON object.
      reader: a self-contained Python file, copied beside the program. Its
        `Reader(directory, text, shape_for)`, called with sentences (text, or lists of
        words) and the number of the first one, gives the inputs, and for each sentence
        the positions of its words in its row, -1 for a word without one. Its
        `words(sentence)` gives the words, which it splits text into as the tokeniser
        does.
    """

    function: Callable[[Any, Mapping[str, Any]], Float[Array, "B T _"]]
    weights: Any
    inputs: Mapping[str, tuple[str, str]]
    constraints: Sequence[str]
    save_text: Callable[[Path], Mapping[str, Any]]
    reader: Path
