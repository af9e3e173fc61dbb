# SPDX-License-Identifier: Apache-2.0
"""Words with their parts of speech, and how far the words alone would go."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TAG_SETS = ("upos", "xpos")
"""The universal tags, 17 of them, and those of the Penn Treebank, about 50."""


@dataclass(frozen=True)
class PosSentence:
    """A sentence.

    Attributes:
      words: its words.
      upos: their universal tags.
      xpos: their tags in the language's own scheme.
    """

    words: tuple[str, ...]
    upos: tuple[str, ...]
    xpos: tuple[str, ...]

    def tags(self, kind: str) -> tuple[str, ...]:
        """Return the tags of one of `TAG_SETS`."""
        return self.xpos if kind == "xpos" else self.upos


def read_tagged_words(path: Path) -> list[PosSentence]:
    """Read lines of word, universal tag and language's tag, blank between sentences.

    Args:
      path: UTF-8, columns between tabs; what follows the third is left out. There are
        no comments: "#" is a word.

    Raises:
      ValueError: a line is malformed; names it.
      OSError: the file cannot be read.
    """
    sentences: list[PosSentence] = []
    rows: list[list[str]] = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            fields = line.rstrip("\r\n").split("\t")
            if fields == [""]:
                sentences += _sentence(rows)
                rows = []
                continue
            if len(fields) < 3 or not all(fields[:3]):
                raise ValueError(
                    f"{path}:{number}: expected a word and two tags between tabs, or a "
                    f"blank line, found {line.rstrip()[:40]!r}"
                )
            rows.append(fields[:3])
    sentences += _sentence(rows)
    if not sentences:
        raise ValueError(f"{path} has no sentences")
    return sentences


def _sentence(rows: list[list[str]]) -> list[PosSentence]:
    return [PosSentence(*zip(*rows, strict=True))] if rows else []


def most_frequent_tags(
    train_words: Sequence[str], train_tags: Sequence[str], words: Sequence[str]
) -> list[str]:
    """Give each word the tag that it most often has in training.

    A word that training lacks gets the most frequent tag of all; of two that are
    equally frequent, the one seen first.

    Example:
      >>> most_frequent_tags(["a", "cat", "a"], ["DET", "NOUN", "DET"], ["cat", "dog"])
      ['NOUN', 'DET']
    """
    counts: dict[str, Counter[str]] = {}
    for word, tag in zip(train_words, train_tags, strict=True):
        counts.setdefault(word, Counter())[tag] += 1
    best = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    ((default, _),) = Counter(train_tags).most_common(1)
    return [best.get(word, default) for word in words]
