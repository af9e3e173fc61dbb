# SPDX-License-Identifier: Apache-2.0
"""Sentence similarity (STS-B) by layer and pooling."""

import time
from collections.abc import Mapping
from pathlib import Path

from train.tasks.probes import similarity
from train.tasks.probes.probing import (
    Measured,
    Subject,
    note_of_mix,
    panel_of,
)
from train.tasks.results import NOTHING_FOUND, Row

PAIR_FILES = {"dev": "sts-dev.csv", "test": "sts-test.csv"}


class StsTask:
    """The task of sentence similarity, by the cosine of sentence vectors."""

    def __init__(self, data: Path) -> None:
        """Read STS-B.

        Raises:
          ValueError: a malformed line.
          OSError: a file cannot be read.
        """
        self._splits = {
            split: similarity.read_pairs(data / file)
            for split, file in PAIR_FILES.items()
        }
        self._remarks = {
            split: f"all {len(pairs)} pairs of {split} have the similarity "
            f"{pairs[0].similarity:g}, with which nothing correlates"
            for split, pairs in self._splits.items()
            if len({pair.similarity for pair in pairs}) < 2
        }

    def measure(self, subject: Subject) -> Measured:
        """Correlate cosines and similarities for each layer, spec and pooling."""
        began = time.monotonic()
        pools = similarity.poolings_of(subject.encoder.name)
        specs = (*subject.layers, *subject.specs)
        found = {
            pool: similarity.measure_pairs(
                subject.encoder,
                subject.params,
                subject.tokenizer,
                self._splits,
                specs,
                options,
                name=f"sts {pool}",
            )
            for pool, options in pools.items()
        }
        rows = [
            _pair_row(subject, spec, pool, found[pool][spec], self._remarks)
            for spec in specs
            for pool in pools
        ]
        metrics = [f"STS-B Spearman, {pool}" for pool in pools]
        drawn = [
            Row(
                subject.title_of(spec),
                {
                    f"STS-B Spearman, {pool}": (held.spearman,)
                    for pool in pools
                    if (held := found[pool][spec]["test"])
                },
            )
            for spec in specs
        ]
        pairs = (f"{split} {len(held):,} pairs" for split, held in self._splits.items())
        facts = {
            "data": f"STS-B: {', '.join(pairs)}",
            "metric": "correlation of the cosine and the people's figure, times 100",
            "poolings": "over the tokens of a sentence; nothing is trained",
            "seconds": f"{time.monotonic() - began:.0f} for all layers and poolings",
        }
        if self._remarks:
            facts[NOTHING_FOUND] = "; ".join(self._remarks.values())
        title = "sentence similarity, Spearman on test"
        return Measured(
            f"Sentence similarity by layer and pooling of {subject.name}",
            rows,
            facts,
            panel_of(subject, title, metrics, drawn, None),
            metrics[:1],
        )


def _pair_row(
    subject: Subject,
    spec: str,
    pool: str,
    correlations: Mapping[str, similarity.Correlation | None],
    remarks: Mapping[str, str],
) -> Row:
    scores = {
        f"{split} {name}": (getattr(held, name.lower()),)
        for split, held in correlations.items()
        if held
        for name in ("Spearman", "Pearson")
    }
    note = note_of_mix(spec)
    if not scores and remarks.keys() >= correlations.keys():
        note = "all pairs are rated alike"
    elif not scores:
        note = "all sentences have the same vector"
    return Row(f"{subject.title_of(spec)}, {pool}", scores, note)
