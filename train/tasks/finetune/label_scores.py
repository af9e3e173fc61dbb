# SPDX-License-Identifier: Apache-2.0
"""How right labels are: accuracy, and F1 averaged over the labels; in percent."""

from collections.abc import Sequence


def score_labels(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Compute accuracy and macro F1.

    Args:
      gold: of each example.
      predicted: likewise.

    Returns:
      `accuracy` and `macro_f1`, the mean of the F1 of every label that is gold or
      predicted anywhere.

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
