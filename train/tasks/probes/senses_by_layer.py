# SPDX-License-Identifier: Apache-2.0
"""Word senses by layer, by the nearest sense vector, on several splits by document."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from train.tasks.probes import word_senses
from train.tasks.probes.probing import Measured, Subject, note_of_mix, panel_of, say
from train.tasks.probes.terms import read_vectors
from train.tasks.results import Row

SENSE_FILES = {"SemCor": "semcor_wn30.jsonl.gz", "MASC": "masc_noad.jsonl.gz"}


def _check_answerable(
    path: Path, table: word_senses.SenseTable, splits: Sequence[np.ndarray]
) -> None:
    """Refuse senses of which none can be answered.

    Raises:
      ValueError: says why.
    """
    known = [
        np.isin(table.lemmas[in_test], table.lemmas[~in_test]).any()
        for in_test in splits
    ]
    if not any(known):
        raise ValueError(
            f"{path}: no lemma of the documents held out stands in another document, "
            "so none can be answered"
        )


class WsdTask:
    """The task of word senses, by the nearest sense vector."""

    def __init__(self, data: Path, num_splits: int, seed: int) -> None:
        """Read those corpora of `SENSE_FILES` that the folder has.

        Raises:
          ValueError: a malformed line, or no corpus.
          OSError: a file cannot be read.
        """
        self._corpora = {
            name: word_senses.read_senses(data / file)
            for name, file in SENSE_FILES.items()
            if (data / file).is_file()
        }
        if not self._corpora:
            raise ValueError(f"{data} has none of {', '.join(SENSE_FILES.values())}")
        self._tables = {
            name: word_senses.tabulate(corpus) for name, corpus in self._corpora.items()
        }
        for name, table in self._tables.items():
            if not table.documents.any():
                raise ValueError(
                    f"{data / SENSE_FILES[name]}: all sentences are of one document; "
                    "a split into training and test takes two or more"
                )
        self._in_test = {
            name: [
                word_senses.split_documents(table.documents, seed + number)
                for number in range(num_splits)
            ]
            for name, table in self._tables.items()
        }
        for name, table in self._tables.items():
            _check_answerable(data / SENSE_FILES[name], table, self._in_test[name])

    def measure(self, subject: Subject) -> Measured:
        """Score the first-sense baseline, and the nearest sense at each layer."""
        began = time.monotonic()
        features = {
            name: subject.features(
                name.lower(),
                [sentence.words for sentence in corpus],
                keep=[word_senses.kept_words(sentence) for sentence in corpus],
            )
            for name, corpus in self._corpora.items()
        }
        caching, began = time.monotonic() - began, time.monotonic()
        rows = []
        for spec in (*subject.layers, *subject.specs):
            started = time.monotonic()
            scores: dict[str, tuple[float, ...]] = {}
            for name, corpus in self._corpora.items():
                vectors = word_senses.expression_vectors(
                    corpus, read_vectors(features[name], spec)
                )
                scores |= self._scores(
                    name,
                    lambda table, in_test, vectors=vectors: word_senses.nearest_senses(
                        table, in_test, vectors
                    ),
                )
            note = note_of_mix(spec)
            rows.append(Row(subject.title_of(spec), scores, note))
            seconds = time.monotonic() - started
            say(subject, "wsd", spec, next(iter(scores.values()), ()), seconds)
        first: dict[str, tuple[float, ...]] = {}
        for name in self._corpora:
            first |= self._scores(name, word_senses.first_senses)
        baseline = Row("first sense", first)
        num_splits = len(next(iter(self._in_test.values())))
        metrics = [f"{name} F1" for name in self._corpora]
        facts = {
            **{name: self._describe(name) for name in self._corpora},
            "metric": "share of the test occurrences with the right sense, in percent: "
            "F1 where all are answered; a lemma that training lacks counts as wrong. "
            "Ambiguous: of lemmas with two senses or more in training",
            "method": "the sense with the nearest mean of training vectors, by cosine, "
            "among those of the lemma and part of speech; a word is its first piece, "
            "an expression the mean of its words",
            "splits": f"{num_splits} choices of {word_senses.TEST_SHARE:.0%} of the "
            "documents for the test, the same ones for every row; ± is the sample "
            "deviation over them",
            "first sense": "the one most frequent in training",
            "seconds": f"{caching:.0f} for all features (few if they were cached), "
            f"{time.monotonic() - began:.0f} for all answers",
        }
        return Measured(
            f"Word senses by layer of {subject.name}",
            [baseline, *rows],
            facts,
            panel_of(subject, "word senses, F1", metrics, rows, baseline),
            metrics,
        )

    def _scores(
        self, name: str, answer: Callable[..., np.ndarray]
    ) -> dict[str, tuple[float, ...]]:
        table = self._tables[name]
        scores = [
            word_senses.score_senses(table, in_test, answer(table, in_test))
            for in_test in self._in_test[name]
        ]
        columns = {
            f"{name} F1": tuple(score.f1 for score in scores),
            f"{name} ambiguous F1": tuple(score.ambiguous_f1 for score in scores),
        }
        # A small corpus may have no ambiguous lemma.
        return {
            metric: values
            for metric, values in columns.items()
            if not any(map(math.isnan, values))
        }

    def _describe(self, name: str) -> str:
        table, splits = self._tables[name], self._in_test[name]

        def mean(shares: Iterator[float]) -> str:
            return f"{100 * float(np.mean(list(shares))):.1f} %"

        def known(values: np.ndarray) -> Iterator[float]:
            for in_test in splits:
                yield np.isin(values[in_test], values[~in_test]).mean()

        ambiguous = (
            word_senses.is_ambiguous(table, in_test)[in_test].mean()
            for in_test in splits
        )
        only = ""
        if table.senses.max() == table.lemmas.max():
            only = "; every lemma has one sense, so there is nothing to tell apart"
        return (
            f"{len(table.senses):,} occurrences of {table.lemmas.max() + 1:,} lemmas "
            f"and {table.senses.max() + 1:,} senses in {table.documents.max() + 1} "
            f"documents; of the test occurrences {mean(known(table.lemmas))} have a "
            f"lemma that training has (coverage), {mean(known(table.senses))} a sense "
            f"that it has, {mean(ambiguous)} an ambiguous lemma" + only
        )
