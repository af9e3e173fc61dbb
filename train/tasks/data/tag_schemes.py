# SPDX-License-Identifier: Apache-2.0
"""How tags mark spans, and their conversion to BIO2.

BIO2 opens every span with B-. IOB1 opens it with I-, but for one that follows another
of its label. IOBES marks the ends too, with E-, and spans of one word with S-; BILOU is
the same with L- and U-. conlleval's rules read all of them, without being told which.
"""

from collections.abc import Sequence

from train.tasks.spans import find_spans, split_tag

PREFIXES = ("B", "I", "E", "S", "L", "U")


def is_tag(tag: str) -> bool:
    """Tell whether a tag has the form of one: "O", or prefix, hyphen and label.

    Example:
      >>> [is_tag(tag) for tag in ("O", "B-LOC", "NOUN", "B-")]
      [True, True, False, False]
    """
    prefix, label = split_tag(tag)
    return tag == "O" or (prefix in PREFIXES and bool(label))


def to_bio(tags: Sequence[str]) -> tuple[str, ...]:
    """Convert the tags of a sentence, of whatever scheme, to BIO2.

    The spans are those that conlleval finds, see `find_spans`.

    Example:
      >>> to_bio(["I-LOC", "I-LOC", "O", "S-PER"])
      ('B-LOC', 'I-LOC', 'O', 'B-PER')
    """
    converted = ["O"] * len(tags)
    for label, start, end in find_spans(tags):
        converted[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
    return tuple(converted)
