# SPDX-License-Identifier: Apache-2.0
"""Sentence similarity: correlation of cosines with human ratings.

STS-B (Cer et al. 2017): pairs of sentences with a similarity from 0 to 5. Nothing is
trained; the metric is the correlation of cosines and similarities.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import pearsonr, spearmanr

from embed_jax.corpus.lines import read_lines
from embed_jax.corpus.progress import Progress
from embed_jax.encoder import Encoder
from train.families.poolings import WORD_POOLINGS, Pooling
from train.families.registry import family_named, known_kinds
from train.tasks.features import check_vectors

_SCORE, _FIRST, _SECOND = 4, 5, 6

# Cosines that differ by less are the same: what float32 rounds off a vector changes its
# direction by 1e-7, and a cosine near 1 by the square of that.
_LEAST_SPREAD = 1e-10


class SentencePair(NamedTuple):
    """Two sentences, and their rated similarity."""

    first: str
    second: str
    similarity: float


class Correlation(NamedTuple):
    """Correlations of cosines and similarities, in percent."""

    spearman: float
    pearson: float


def read_pairs(path: Path) -> list[SentencePair]:
    """Read a file of STS-B.

    Args:
      path: lines of genre, file, year, id, similarity and both sentences, separated by
        tabs. Further columns are ignored; quotation marks are text.

    Raises:
      ValueError: a line is malformed; names it.
      OSError: the file cannot be read.
    """
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split("\t")
        if len(fields) <= _SECOND:
            raise ValueError(
                f"{path}:{number}: {len(fields)} fields, not the seven of STS-B: "
                "genre, file, year, id, similarity and two sentences, between tabs"
            )
        try:
            similarity = float(fields[_SCORE])
        except ValueError:
            raise ValueError(
                f"{path}:{number}: similarity {fields[_SCORE]!r} is no number"
            ) from None
        pairs.append(SentencePair(fields[_FIRST], fields[_SECOND], similarity))
    if not pairs:
        raise ValueError(f"{path} is empty")
    return pairs


def poolings_of(name: str) -> Mapping[str, Pooling]:
    """Return the poolings of an encoder by its name, as options of `stream_sentences`.

    An encoder that no known family trains has those of every encoder.
    """
    if name not in known_kinds():
        return WORD_POOLINGS
    return family_named(name).poolings


def measure_pairs(
    encoder: Encoder,
    params: Any,
    tokenizer: Any,
    splits: Mapping[str, Sequence[SentencePair]],
    specs: Sequence[str],
    options: Mapping[str, Any],
    name: str = "sentences",
) -> dict[str, dict[str, Correlation | None]]:
    """Score several specs with one pooling, from one run of the encoder.

    Args:
      encoder: of the model.
      params: what its `load` gave.
      tokenizer: what its `load` gave.
      splits: pairs, by the name of their split.
      specs: layers and `layer_spec`s. Their mixes are untrained, and so means.
      options: of `stream_sentences`.
      name: of the progress bar.

    Returns:
      For each spec and split the correlation; None where all cosines are equal, as at
      layer 0 with `cls`, where every sentence has the vector of [CLS].

    Raises:
      ValueError: a vector is not finite.
    """
    # Each sentence once: many are in several pairs.
    rows: dict[str, int] = {}
    for pairs in splits.values():
        for pair in pairs:
            for sentence in (pair.first, pair.second):
                rows.setdefault(sentence, len(rows))
    widths = [encoder.vector_width(params, spec, options["pool"]) for spec in specs]
    vectors = np.empty((len(rows), sum(widths)), np.float32)
    with Progress(name, len(rows), 0) as progress:
        embedded = encoder.stream_sentences(
            params,
            tokenizer,
            list(rows),
            ",".join(specs),
            on_batch=progress.computed,
            unknown="error",
            **options,
        )
        for row, sentence in zip(vectors, embedded, strict=True):
            row[:] = sentence.vectors[0]
            progress.written(len(sentence.words))
    check_vectors(vectors, "the model")
    result: dict[str, dict[str, Correlation | None]] = {}
    ends = np.cumsum(widths)
    for spec, end, width in zip(specs, ends, widths, strict=True):
        chosen = vectors[:, end - width : end]
        result[spec] = {}
        for split, pairs in splits.items():
            first = chosen[[rows[pair.first] for pair in pairs]]
            second = chosen[[rows[pair.second] for pair in pairs]]
            similarities = np.array([pair.similarity for pair in pairs])
            result[spec][split] = correlate(cosines(first, second), similarities)
    return result


def cosines(
    first: Float[np.ndarray, "pairs width"], second: Float[np.ndarray, "pairs width"]
) -> Float[np.ndarray, " pairs"]:
    """Compute the cosine of each pair, in float64; 0 where a vector is zero."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    products = (first * second).sum(axis=1)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return products / np.maximum(norms, np.finfo(np.float64).tiny)


def correlate(
    values: Float[np.ndarray, " pairs"], similarities: Float[np.ndarray, " pairs"]
) -> Correlation | None:
    """Correlate cosines with similarities; None if either is constant."""
    if np.ptp(values) < _LEAST_SPREAD or np.ptp(similarities) == 0:
        return None
    # Any: their types say nothing of what is in them.
    spearman: Any = spearmanr(values, similarities)
    pearson: Any = pearsonr(values, similarities)
    return Correlation(100 * float(spearman.statistic), 100 * float(pearson.statistic))
