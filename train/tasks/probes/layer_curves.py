# SPDX-License-Identifier: Apache-2.0
"""A plot of the scores of each layer, one panel a task."""

import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embed_jax.files.output_file import open_output
from train.tasks.results import PICTURE, Row


@dataclass(frozen=True)
class Panel:
    """The panel of one task.

    Attributes:
      title: of the task.
      metrics: the metrics to draw, each in its own colour.
      layers: rows of layers 0 to L, joined by a line.
      specs: rows of other specs, drawn beside them.
      baseline: a row that is drawn as a horizontal level, if any.
    """

    title: str
    metrics: Sequence[str]
    layers: Sequence[Row]
    specs: Sequence[Row] = ()
    baseline: Row | None = None


def draw_layers(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw the panels side by side into a PNG file, written atomically.

    Points are means over the seeds, with error bars of the deviation.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(panels), 4.4), layout="constrained")
    figure.suptitle(title)
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(every, panels, strict=True):
        shown = [*panel.layers, *panel.specs]
        names = [
            *map(str, range(len(panel.layers))),
            *(row.name for row in panel.specs),
        ]
        for number, metric in enumerate(panel.metrics):
            color = f"C{number}"
            for places in (
                range(len(panel.layers)),
                range(len(panel.layers), len(shown)),
            ):
                held = [place for place in places if shown[place].scores.get(metric)]
                values = [shown[place].scores[metric] for place in held]
                is_layer = places.start == 0
                axes.errorbar(
                    held,
                    [statistics.fmean(of_seeds) for of_seeds in values],
                    [shown[place].deviation(metric) or 0.0 for place in held],
                    color=color,
                    marker="o" if is_layer else "D",
                    linestyle="-" if is_layer else "none",
                    capsize=3,
                    label=metric if is_layer else None,
                )
            level = panel.baseline and panel.baseline.scores.get(metric)
            if panel.baseline and level:
                axes.axhline(
                    statistics.fmean(level),
                    color=color,
                    linestyle=":",
                    label=f"{metric}, {panel.baseline.name}",
                )
        axes.set_xticks(range(len(names)), names)
        for label in axes.get_xticklabels()[len(panel.layers) :]:
            label.set(rotation=40, ha="right", rotation_mode="anchor")
        axes.set(title=panel.title, xlabel="layer, or layer_spec")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata=PICTURE)
    with open_output(path) as file:
        file.write(buffer.getvalue())
