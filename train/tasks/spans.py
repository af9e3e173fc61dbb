# SPDX-License-Identifier: Apache-2.0
"""Spans of named entities, their tagging schemes, and span F1 as in the CoNLL tasks.

BIO2 begins every span with B-. IOB1 begins it with I-, except after a span of the same
label. IOBES also marks ends, with E-, and spans of one word, with S-; BILOU is the same
with L- and U-. seqeval's rules read all of them, without knowing the scheme.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

PREFIXES = ("B", "I", "E", "S", "L", "U")


class Span(NamedTuple):
    """One entity.

    Attributes:
      label: its type.
      start: index of its first word.
      end: index after its last word.
    """

    label: str
    start: int
    end: int


@dataclass(frozen=True)
class SpanScore:
    """Counts of gold, predicted and correct spans (both ends and the label equal).

    Attributes:
      num_gold: gold spans.
      num_predicted: predicted spans.
      num_correct: spans that are gold and predicted.
      by_label: the same for each label.
    """

    num_gold: int
    num_predicted: int
    num_correct: int
    by_label: Mapping[str, "SpanScore"] = field(default_factory=dict)

    @property
    def precision(self) -> float:
        """Precision in percent; 0 if nothing was predicted."""
        return _percent(self.num_correct, self.num_predicted)

    @property
    def recall(self) -> float:
        """Recall in percent; 0 if there are no gold spans."""
        return _percent(self.num_correct, self.num_gold)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in percent."""
        return _percent(2 * self.num_correct, self.num_gold + self.num_predicted)


def find_spans(tags: Sequence[str]) -> set[Span]:
    """Find the spans of a sentence, as seqeval does, and conlleval in IOB1 and BIO2.

    A span begins at B- or S-, at any tag whose label differs from that of the word
    before, and at any tag after O, E- or S-. So IOB1, BIO2, IOBES and their mixtures
    are all read, and no tag sequence is refused.

    Args:
      tags: "O", or a prefix of B, I, E, S (L, U), a hyphen and the label.

    Example:
      >>> sorted(find_spans(["I-PER", "I-PER", "B-PER", "O", "I-LOC"]))
      [Span(label='LOC', start=4, end=5), Span(label='PER', start=0, end=2), Span(...
    """
    spans = set()
    start, prefix, label = 0, "O", ""
    for index, tag in enumerate([*tags, "O"]):
        before, label_before = prefix, label
        prefix, label = split_tag(tag)
        inside = before != "O"
        ends = inside and (
            prefix in ("O", "B", "S", "U")
            or before in ("E", "L", "S", "U")
            or label != label_before
        )
        if ends:
            spans.add(Span(label_before, start, index))
        if prefix != "O" and (ends or not inside):
            start = index
    return spans


def split_tag(tag: str) -> tuple[str, str]:
    """Split a tag into its prefix and its label; that of "O" is empty.

    Example:
      >>> split_tag("B-creative-work"), split_tag("O")
      (('B', 'creative-work'), ('O', ''))
    """
    prefix, _, label = tag.partition("-")
    return prefix, label


def is_tag(tag: str) -> bool:
    """Return whether a tag is valid: "O", or prefix, hyphen and label.

    Example:
      >>> [is_tag(tag) for tag in ("O", "B-LOC", "NOUN", "B-")]
      [True, True, False, False]
    """
    prefix, label = split_tag(tag)
    return tag == "O" or (prefix in PREFIXES and bool(label))


def to_bio(tags: Sequence[str]) -> tuple[str, ...]:
    """Convert the tags of a sentence, in any scheme, to BIO2.

    For what a span is see `find_spans`.

    Example:
      >>> to_bio(["I-LOC", "I-LOC", "O", "S-PER"])
      ('B-LOC', 'I-LOC', 'O', 'B-PER')
    """
    converted = ["O"] * len(tags)
    for label, start, end in find_spans(tags):
        converted[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tuple(converted)


def score_spans(
    gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]
) -> SpanScore:
    """Score the tags of sentences, micro-averaged over the labels.

    Args:
      gold: the gold tags of each sentence.
      predicted: the predicted tags of each sentence.

    Raises:
      ValueError: different numbers of sentences, or of words in one of them.
    """
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("gold", "predicted", "correct")
    }
    for number, (right, given) in enumerate(zip(gold, predicted, strict=True)):
        if len(right) != len(given):
            raise ValueError(
                f"sentence {number} has {len(right)} words and {len(given)} predictions"
            )
        spans, found = find_spans(right), find_spans(given)
        counts["gold"].update(span.label for span in spans)
        counts["predicted"].update(span.label for span in found)
        counts["correct"].update(span.label for span in spans & found)

    gold_counts, predicted_counts, correct = counts.values()
    by_label = {
        label: SpanScore(gold_counts[label], predicted_counts[label], correct[label])
        for label in sorted(gold_counts | predicted_counts)
    }
    return SpanScore(
        gold_counts.total(), predicted_counts.total(), correct.total(), by_label
    )


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
