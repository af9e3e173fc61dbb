# SPDX-License-Identifier: Apache-2.0
"""The interface of an encoder with a classifier, and prediction with it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from embed_jax.layers.scalar_mix import ScalarMix
from train.fit import best_labels, check_labels_found
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import (
    ClassifiedRow,
    batches_in_order,
    judge_rows,
    padded_length,
)

Task = Literal["token", "sequence"]
"""Whether words ("token") or whole texts ("sequence") are labelled."""

Example = TaggedSentence | LabelledText

Weights = dict[str, Any]
"""`{"encoder": …, "head": …}`; the head is everything that is not the encoder."""

# Rows of a batch where nothing is learnt.
_ROWS = 32


@runtime_checkable
class Classifier(Protocol):
    """An encoder with a classification head.

    Attributes:
      task: "token" or "sequence".
      labels: names of the labels, in the order of the logits.
      longest: maximal tokens of a row, or None.
      weights: the initial or loaded weights.
    """

    task: Task
    labels: tuple[str, ...]
    longest: int | None
    weights: Weights

    def rows(self, examples: Sequence[Example]) -> list[ClassifiedRow]:
        """Convert examples to rows; unknown labels become `IGNORED`."""
        ...

    def collate(self, rows: Sequence[ClassifiedRow], length: int, size: int) -> Any:
        """Pad rows into the tokens of one batch, with empty rows up to `size`."""
        ...

    def logits(
        self, weights: Weights, tokens: Any, dropout_key: jax.Array | None = None
    ) -> Float[Array, "B *T Y"]:
        """Return the logits of each token, or of each row; a key turns dropout on."""
        ...

    def mixes(self, weights: Weights) -> Sequence[ScalarMix]:
        """Return the learnt mixes of layers among the weights, or none."""
        ...

    def save(self, directory: Path, weights: Weights) -> None:
        """Write a directory, atomically, with all files that its loader needs."""
        ...


Predict = Callable[[Weights, Any], Int[Array, "B ..."]]


def compiled_predict(classifier: Classifier) -> Predict:
    """Return a jitted function from weights and tokens to the best labels' ids."""

    @jax.jit
    def predict(weights: Weights, tokens: Any) -> Int[Array, "B ..."]:
        return best_labels(classifier.logits(weights, tokens))

    return predict


def predict_labels(
    classifier: Classifier,
    examples: Sequence[Example],
    weights: Weights | None = None,
    predict: Predict | None = None,
) -> list[list[str]]:
    """Predict the labels of examples.

    Args:
      classifier: trained.
      examples: sentences whose words are labelled, or texts; their labels are not used.
      weights: by default the classifier's own.
      predict: from `compiled_predict`, to compile only once for several calls.

    Returns:
      For each sentence the label of each word; for each text a list of one label. A
      word that the encoder cannot read has the label "O", or the first one.

    Raises:
      ValueError: the classifier's scores are not finite.
    """
    weights = classifier.weights if weights is None else weights
    predict = predict or compiled_predict(classifier)
    unread = "O" if "O" in classifier.labels else classifier.labels[0]
    found = [
        [unread] * (len(example.words) if isinstance(example, TaggedSentence) else 1)
        for example in examples
    ]
    rows = classifier.rows(examples)
    judge_rows(rows, "the examples", "warn")
    batches = batches_in_order([row.length for row in rows], _ROWS)
    pending = []
    for batch in batches:
        chosen = [rows[index] for index in batch.tolist()]
        length = padded_length(max(row.length for row in chosen), classifier.longest)
        tokens = classifier.collate(chosen, length, _ROWS)
        pending.append((chosen, predict(weights, tokens)))
    for chosen, best in pending:
        # Empty rows come after those that were chosen.
        for row, of_row in zip(chosen, np.asarray(best), strict=False):
            _write(found[row.example], row, np.asarray(of_row), classifier.labels)
    return found


def _write(
    found: list[str], row: ClassifiedRow, best: np.ndarray, labels: Sequence[str]
) -> None:
    if best.ndim == 0:
        check_labels_found(best)
        found[0] = labels[int(best)]
        return
    positions = np.flatnonzero(row.words >= 0)
    check_labels_found(best[positions])
    for position in positions.tolist():
        found[int(row.words[position])] = labels[int(best[position])]
