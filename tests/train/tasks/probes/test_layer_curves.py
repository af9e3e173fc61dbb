# SPDX-License-Identifier: Apache-2.0
"""The picture of layers shows the means over the seeds and their deviation."""

import statistics
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from train.tasks.probes.layer_curves import Panel, draw_layers
from train.tasks.results import Row

LAYERS = [Row("layer 0", {"F1": (1.0, 4.0)}), Row("layer 1", {"F1": (2.0, 3.0, 10.0)})]
SPECS = [Row("mix(all)", {"F1": (7.0,), "other": (9.0,)})]
BASELINE = Row("first sense", {"F1": (6.0, 8.0)})


def test_means_over_the_seeds_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    drawn, levels = [], []
    errorbar, axhline = Axes.errorbar, Axes.axhline

    def bars(axes, places, means, deviations, **options):
        drawn.append((list(places), means, deviations))
        return errorbar(axes, places, means, deviations, **options)

    def line(axes, level, **options):
        levels.append(level)
        return axhline(axes, level, **options)

    monkeypatch.setattr(Axes, "errorbar", bars)
    monkeypatch.setattr(Axes, "axhline", line)
    panel = Panel("senses", ["F1"], LAYERS, SPECS, BASELINE)
    draw_layers(tmp_path / "out.png", "What layers are worth", [panel])
    assert drawn == [
        ([0, 1], [2.5, 5.0], [statistics.stdev((1, 4)), statistics.stdev((2, 3, 10))]),
        # One seed has no deviation.
        ([2], [7.0], [0.0]),
    ]
    assert levels == [7.0]
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
