# SPDX-License-Identifier: Apache-2.0
"""The interface of the tasks of `train.probe`, and the model that they probe.

All tasks are created before anything is computed, so that errors in any of them are
reported at once.
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
"""Specs besides the single layers: those of Devlin et al. 2019, Table 7."""
SMALL_MODEL_SPECS = ("mean(all)", "mix(all)")
"""Specs for models with fewer than four blocks: those of Peters et al. 2018."""


@dataclass(frozen=True)
class Subject:
    """The model that is probed.

    Attributes:
      path: directory of a model or of a run, or a hub id.
      encoder: the family of the model.
      params: loaded.
      tokenizer: loaded.
      num_blocks: L.
      specs: the specs to probe besides the layers 0 to L.
      cache: the folder of cached features.
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
        """Load a model and check the specs; without any, use defaults by its size.

        Raises:
          ValueError: no known model, or a spec that is invalid for it.
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
        """The last component of its path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    @property
    def layers(self) -> tuple[str, ...]:
        """The single layers, as specs."""
        return tuple(map(str, range(self.num_blocks + 1)))

    def title_of(self, spec: str) -> str:
        """Return the title of a spec's row."""
        return f"layer {spec}" if spec in self.layers else spec

    def features(self, name: str, sentences: Sequence, **options: Any) -> Features:
        """Compute all layers of the sentences' words, or open them from the cache."""
        return cached_features(
            self.path, sentences, self.cache, name=f"{self.name}-{name}", **options
        )


class Measured(NamedTuple):
    """The result of a task.

    Attributes:
      title: of its table.
      rows: of its table.
      facts: data, model, versions and other conditions of the measurement.
      panel: of the picture of all tasks.
      headlines: the panel's metrics for the table of all tasks.
    """

    title: str
    rows: list[Row]
    facts: dict[str, Any]
    panel: Panel
    headlines: Sequence[str]


@runtime_checkable
class Task(Protocol):
    """A probing task for every layer of a model."""

    def measure(self, subject: Subject) -> Measured:
        """Score every layer and spec of a model."""
        ...


def note_of_mix(spec: str) -> str:
    """Return a note that an untrained mix is a mean; empty for other specs."""
    return "nothing is trained here: a mix is the plain mean" if "mix" in spec else ""


def panel_of(
    subject: Subject,
    title: str,
    metrics: Sequence[str],
    rows: Sequence[Row],
    baseline: Row | None,
) -> Panel:
    """Make the panel of rows, which are the layers, then the specs."""
    count = len(subject.layers)
    return Panel(title, metrics, rows[:count], rows[count:], baseline)


def say(
    subject: Subject, task: str, spec: str, values: Sequence[float], seconds: float
) -> None:
    """Print the scores of a spec to stderr."""
    sys.stderr.write(
        f"{task}, {subject.title_of(spec)}: {format_score(values)}, {seconds:.0f} s\n"
    )
    sys.stderr.flush()
