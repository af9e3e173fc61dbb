# SPDX-License-Identifier: Apache-2.0
"""Initial weights from an existing model, published or of another run."""

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
      path: of the existing model, for the warning.
      ours: the row of each word of the run.
      theirs: the row of each word of the model.

    Returns:
      Our rows and theirs of all words in both, or None if the vocabularies are equal.
    """
    if ours == theirs:
        return None
    known = [(ours[word], theirs[word]) for word in ours if word in theirs]
    rest = "each by its place there"
    if len(known) < len(ours):
        rest = "the others are trained from nothing"
    logger.warning(
        "%s has another vocabulary: %d of %d entries are taken from it, %s",
        path,
        len(known),
        len(ours),
        rest,
    )
    rows = np.array(known, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def with_rows(
    given: Any, fresh: Any, place: tuple[str, ...], rows: tuple[np.ndarray, np.ndarray]
) -> Any:
    """Return weights with the rows of one leaf combined from two models.

    Args:
      given: the weights of the existing model, nested dictionaries.
      fresh: those of the run, whose leaf has another number of rows.
      place: the path of the leaf.
      rows: rows of `fresh` to replace, and the rows of `given` to put there.
    """
    name, *below = place
    if below:
        leaf = with_rows(given[name], fresh[name], tuple(below), rows)
    else:
        ours, theirs = rows
        leaf = fresh[name].at[ours].set(given[name][theirs])
    return {**given, name: leaf}


def check_shape(path: Path, theirs: Any, ours: Any, free: Collection[str]) -> None:
    """Check that an existing model has the shape of a run's model.

    Args:
      path: of the existing model.
      theirs: its configuration, a dataclass.
      ours: the configuration of the run's model.
      free: fields that do not affect the shape of the weights to take over.

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
