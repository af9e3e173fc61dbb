# SPDX-License-Identifier: Apache-2.0
"""The curves of docs/novels.png: how two runs learned, and what they have to beat.

    python -m benchmarks.novels_curves runs/elmo_novels runs/bert_novels docs/novels.png

The lines come from each run's metrics.jsonl, the baselines from the commands that
docs/novels.md names.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import tyro
from matplotlib.axes import Axes

from train.loop.log import METRICS


@dataclasses.dataclass(frozen=True)
class Command:
    """Draw the curves of the novels' two runs."""

    elmo: Annotated[Path, tyro.conf.Positional]
    """The run of elmo_novels."""
    bert: Annotated[Path, tyro.conf.Positional]
    """The run of bert_novels."""
    output: Annotated[Path, tyro.conf.Positional]
    """The PNG."""
    trigram: float = 143.5
    """Perplexity of the Kneser-Ney trigram (benchmarks.novels_baseline)."""
    unigram: float = 0.050
    """Accuracy of the most frequent piece (benchmarks.masked_novels_baseline)."""
    bigram: float = 0.245
    """Accuracy of the two-sided bigram, from the same command."""


def main() -> None:
    """Read the runs and write the picture."""
    command = tyro.cli(Command, description=__doc__)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for direction in ("forward", "backward"):
        name = f"{direction}_perplexity"
        left.plot(*_curve(command.elmo, "held_out", name), marker="o", label=direction)
    left.set(title="biLM, held-out perplexity")
    _line(left, command.trigram, "Kneser-Ney trigram")
    right.plot(
        *_curve(command.bert, "train", "masked_accuracy"),
        color="0.7",
        label="training batches, 20 % hidden",
    )
    right.plot(
        *_curve(command.bert, "held_out", "masked_accuracy"),
        marker="o",
        label="held out, 15 % hidden",
    )
    right.set(title="BERT, accuracy of hidden pieces", ylim=(0, None))
    _line(right, command.bigram, "two-sided bigram")
    _line(right, command.unigram, "most frequent piece")
    for axes in (left, right):
        axes.set(xlabel="step")
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3, which="both")
    figure.savefig(command.output, dpi=120)


def _curve(run: Path, kind: str, name: str) -> tuple[list[int], list[float]]:
    records: list[dict[str, Any]] = [
        json.loads(line) for line in (run / METRICS).read_text().splitlines()
    ]
    found = [(r["step"], r[name]) for r in records if r["kind"] == kind and name in r]
    if not found:
        raise SystemExit(f"{run} has no {name} of kind {kind}; is the run complete?")
    steps, values = zip(*found, strict=True)
    return list(steps), list(values)


def _line(axes: Axes, height: float, label: str) -> None:
    axes.axhline(height, color="black", linestyle=":", linewidth=1)
    axes.annotate(
        label,
        (0.02, height),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize="small",
    )


if __name__ == "__main__":
    main()
