# SPDX-License-Identifier: Apache-2.0
"""Plots of the contexts of words in two dimensions, for every model and layer."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embed_jax.explore.principal_components import principal_components
from embed_jax.files.kinds import FileKind, holding
from embed_jax.files.output_file import open_output
from train.tasks.results import PICTURE

CONTEXTS = FileKind("a picture of contexts", holding(*PICTURE.values()))


def draw_contexts(
    path: Path,
    vectors: Mapping[str, Sequence[Float[np.ndarray, "N _"]]],
    labels: Sequence[str],
) -> None:
    """Draw the contexts' principal components; a row a model, a column a layer.

    Args:
      path: a PNG file, written atomically.
      vectors: for each model one array a layer, all with the same N contexts.
      labels: of the contexts, shown by colour.
    """
    from matplotlib.figure import Figure

    columns = max(len(layers) for layers in vectors.values())
    figure = Figure(figsize=(3.2 * columns, 3.2 * len(vectors)), layout="constrained")
    axes = figure.subplots(len(vectors), columns, squeeze=False)
    names = list(dict.fromkeys(labels))
    for row, (model, layers) in zip(axes, vectors.items(), strict=True):
        for axis in row:
            axis.set_axis_off()
        for layer, (axis, points) in enumerate(zip(row, layers, strict=False)):
            axis.set_axis_on()
            axis.set(xticks=[], yticks=[], title=f"{model}, layer {layer}")
            places = principal_components(points)
            for number, name in enumerate(names):
                chosen = [index for index, label in enumerate(labels) if label == name]
                axis.scatter(*places[chosen].T, label=name, color=f"C{number}")
    axes[0, 0].legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata=PICTURE)
    with open_output(path) as file:
        file.write(buffer.getvalue())
