# SPDX-License-Identifier: Apache-2.0
"""What an encoder hands over to be exported: a function of arrays, and its arrays."""

from collections.abc import Callable, Mapping, Sequence
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
      text: what the serving program needs to know to make inputs of text, as JSON can
        hold it; files that it reads besides lie in the same directory.
    """

    function: Callable[[Any, Mapping[str, Any]], Float[Array, "B T _"]]
    weights: Any
    inputs: Mapping[str, tuple[str, str]]
    constraints: Sequence[str]
    text: Mapping[str, Any]
