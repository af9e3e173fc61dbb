# SPDX-License-Identifier: Apache-2.0
"""First weights from a model that exists: published, or of another run."""

import dataclasses
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)


def known_rows(
    path: Path, ours: Mapping[str, int], theirs: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the words that two vocabularies share.

    Args:
      path: of the model that exists, for the warning.
      ours: the row of each word of the run.
      theirs: the row of each word of the model.

    Returns:
      Our rows and theirs of all words in both, or None where all are alike.
    """
    if ours == theirs:
        return None
    known = [(ours[word], theirs[word]) for word in ours if word in theirs]
    logger.warning(
        "%s has another vocabulary: %d of %d entries are taken from it, the others are "
        "trained from nothing",
        path,
        len(known),
        len(ours),
    )
    rows = np.array(known, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def with_rows(
    given: Any, fresh: Any, place: tuple[str, ...], rows: tuple[np.ndarray, np.ndarray]
) -> Any:
    """Return weights with one leaf taken from two models, row by row.

    Args:
      given: the weights of the model that exists, a dictionary of dictionaries.
      fresh: those of the run, which has another number of rows there.
      place: the names on the way to the leaf.
      rows: of `fresh`, and those of `given` that are written there.
    """
    name, *below = place
    if below:
        leaf = with_rows(given[name], fresh[name], tuple(below), rows)
    else:
        ours, theirs = rows
        leaf = fresh[name].at[ours].set(given[name][theirs])
    return {**given, name: leaf}


def check_shape(path: Path, theirs: Any, ours: Any, free: Collection[str]) -> None:
    """Refuse weights of another shape than those of a run.

    Args:
      path: of the model that exists.
      theirs: its configuration, a dataclass.
      ours: the configuration of the run's model.
      free: the fields that shape no weights, or none that are taken over.

    Raises:
      ValueError: names the fields that differ.
    """
    held, asked = (dataclasses.asdict(config) for config in (theirs, ours))
    different = [
        f"{name} {held[name]!r}, not {asked[name]!r}"
        for name in asked
        if name not in free and held[name] != asked[name]
    ]
    if different:
        raise ValueError(
            f"{path} has another shape than the run's model: {'; '.join(different)}"
        )
