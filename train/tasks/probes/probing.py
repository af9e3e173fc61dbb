# SPDX-License-Identifier: Apache-2.0
"""What the tasks of `train.probe` have in common: the model, and what they give back.

A task is made before anything is computed, so that what is wrong with any of them is
said at once.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from embed_jax.encoder import Encoder, find_encoder
from train.tasks.features import Features, cached_features
from train.tasks.probes.layer_curves import Panel
from train.tasks.probes.terms import check_term
from train.tasks.results import Row, format_score

LARGE_MODEL_SPECS = ("mean(last4)", "concat(last4)", "mix(blocks)")
"""Beside the single layers: those of Devlin et al. 2019, Table 7."""
SMALL_MODEL_SPECS = ("mean(all)", "mix(all)")
"""Those of Peters et al. 2018, for models of fewer than four blocks."""


@dataclass(frozen=True)
class Subject:
    """The model that is probed.

    Attributes:
      path: directory of a model or of a run, or a hub id.
      encoder: of the model.
      params: loaded.
      tokenizer: loaded.
      num_blocks: L.
      specs: what is measured beside the layers 0 to L.
      cache: the folder that keeps features.
    """

    path: str
    encoder: Encoder
    params: Any
    tokenizer: Any
    num_blocks: int
    specs: tuple[str, ...]
    cache: Path

    @classmethod
    def load(cls, path: str, specs: Sequence[str], cache: Path) -> "Subject":
        """Load a model and check the specs; none are those that suit its size.

        Raises:
          ValueError: no model that is known here, or a spec that it cannot have.
        """
        encoder = find_encoder(path)
        params, tokenizer = encoder.load(path)
        width, all_layers = (
            encoder.vector_width(params, spec, "mean") for spec in ("embeddings", "all")
        )
        num_blocks = all_layers // width - 1
        if not specs:
            specs = LARGE_MODEL_SPECS if num_blocks >= 4 else SMALL_MODEL_SPECS
        for spec in specs:
            check_term(spec, num_blocks)
        layers = {str(layer) for layer in range(num_blocks + 1)}
        # The layers themselves are measured anyway.
        others = tuple(dict.fromkeys(spec for spec in specs if spec not in layers))
        return cls(path, encoder, params, tokenizer, num_blocks, others, cache)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    @property
    def layers(self) -> tuple[str, ...]:
        """The single layers, as specs."""
        return tuple(map(str, range(self.num_blocks + 1)))

    def title_of(self, spec: str) -> str:
        """Name a spec's row."""
        return f"layer {spec}" if spec in self.layers else spec

    def features(self, name: str, sentences: Sequence, **options: Any) -> Features:
        """Compute all layers of the sentences' words, or open what the cache has."""
        return cached_features(
            self.path, sentences, self.cache, name=f"{self.name}-{name}", **options
        )


class Measured(NamedTuple):
    """What a task gave.

    Attributes:
      title: of its table.
      rows: of its table.
      facts: what a reader must know to believe it.
      panel: of the picture of all tasks.
      headlines: which of the panel's metrics go into the table of all tasks.
    """

    title: str
    rows: list[Row]
    facts: dict[str, Any]
    panel: Panel
    headlines: Sequence[str]


@runtime_checkable
class Task(Protocol):
    """Something that every layer of a model can be measured by."""

    def measure(self, subject: Subject) -> Measured:
        """Measure every layer and spec of a model."""
        ...


def note_of_mix(spec: str) -> str:
    """Say what a mix is where nothing is trained."""
    return "nothing is trained here: a mix is the plain mean" if "mix" in spec else ""


def panel_of(
    subject: Subject,
    title: str,
    metrics: Sequence[str],
    rows: Sequence[Row],
    baseline: Row | None,
) -> Panel:
    """Make the panel of rows that are the layers, then the specs."""
    count = len(subject.layers)
    return Panel(title, metrics, rows[:count], rows[count:], baseline)


def say(
    subject: Subject, task: str, spec: str, values: Sequence[float], seconds: float
) -> None:
    """Say on stderr what a spec is worth."""
    sys.stderr.write(
        f"{task}, {subject.title_of(spec)}: {format_score(values)}, {seconds:.0f} s\n"
    )
    sys.stderr.flush()
