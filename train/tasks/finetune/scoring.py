# SPDX-License-Identifier: Apache-2.0
"""Scores of predicted labels: span F1 for words, accuracy and macro F1 for texts."""

from collections.abc import Sequence
from itertools import chain
from typing import cast

from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classifier import Example
from train.tasks.spans import score_spans

Scores = dict[str, float]
"""Scores in percent, by name."""


def score_examples(
    examples: Sequence[Example], predicted: Sequence[Sequence[str]]
) -> Scores:
    """Score labels: of words by their spans, of texts one by one."""
    if isinstance(examples[0], TaggedSentence):
        gold = [list(sentence.tags) for sentence in cast(Sequence, examples)]
        spans = score_spans(gold, predicted)
        right = score_labels(
            list(chain.from_iterable(gold)), list(chain.from_iterable(predicted))
        )
        return {
            "f1": spans.f1,
            "precision": spans.precision,
            "recall": spans.recall,
            "accuracy": right["accuracy"],
        }
    texts = cast(Sequence[LabelledText], examples)
    return score_labels(
        [text.label for text in texts], [label for (label,) in predicted]
    )


def score_labels(gold: Sequence[str], predicted: Sequence[str]) -> Scores:
    """Compute accuracy and macro F1.

    Args:
      gold: the gold label of each example.
      predicted: the predicted label of each example.

    Returns:
      `accuracy` and `macro_f1`, the mean F1 over all labels that occur as gold or
      predicted label.

    Raises:
      ValueError: there is nothing to score, or not one prediction for each.

    Example:
      >>> score_labels(["a", "a", "b", "b"], ["a", "a", "a", "b"])
      {'accuracy': 75.0, 'macro_f1': 73.33333333333334}
    """
    if not gold or len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} labels and {len(predicted)} predictions")
    pairs = list(zip(gold, predicted, strict=True))
    f1 = []
    for label in sorted(set(gold) | set(predicted)):
        right = sum(both == (label, label) for both in pairs)
        named = sum(label in both for both in pairs)
        # 2 right / (gold + predicted), and `named` counts the right ones once.
        f1.append(2 * right / (named + right))
    right = sum(one == other for one, other in pairs)
    return {
        "accuracy": 100 * right / len(pairs),
        "macro_f1": 100 * sum(f1) / len(f1),
    }
