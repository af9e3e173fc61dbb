# SPDX-License-Identifier: Apache-2.0
"""Text as words: the settings by which it is prepared."""

import dataclasses
from collections.abc import Mapping, Set
from pathlib import Path
from typing import ClassVar, Literal

from elmo_jax.vocabulary import read_vocabulary
from train.data.config import DataConfig, Preparation, Say
from train.data.encoding import PARTS
from train.data.store import STORE_FILES
from train.families.elmo.words import CHARACTERS, COUNTS, TARGETS, TYPES, VOCABULARY


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordData(DataConfig):
    """Text as words, for ELMo.

    Attributes:
      vocab_size: words that the softmax predicts, `<S>`, `</S>` and `<UNK>` included;
        fewer where the text has fewer.
      min_count: rarer words are not predicted.
      vocabulary: a vocabulary that is taken as it is, instead of one made from the
        text; a word a line, perhaps with a tab and its count. `vocab_size` and
        `min_count` say nothing then.
      split: moses, raw text is split as the One Billion Word Benchmark was;
        whitespace, its words are already split.
      max_characters: bytes of a word with its two marks; what is beyond is cut off.
    """

    written: ClassVar[Mapping[str, Set[str]]] = {
        **dict.fromkeys(PARTS, STORE_FILES | {TYPES, COUNTS, TARGETS, CHARACTERS}),
        VOCABULARY: frozenset(),
    }

    vocab_size: int = 30000
    min_count: int = 1
    vocabulary: Path | None = None
    split: Literal["moses", "whitespace"] = "moses"
    max_characters: int = 50

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
          ValueError: a number out of its range; names the field.
        """
        super().__post_init__()
        if self.vocab_size < 4:
            raise ValueError(
                f"vocab_size must be at least 4, three specials and a word, not "
                f"{self.vocab_size}"
            )
        if self.min_count < 1:
            raise ValueError(f"min_count must be at least 1, not {self.min_count}")
        if self.max_characters < 3:
            raise ValueError(
                f"max_characters must be at least 3, two marks and a byte, not "
                f"{self.max_characters}"
            )

    def preparation(self, say: Say) -> Preparation:
        """Return what prepares words.

        Raises:
          ValueError: the given vocabulary cannot be read.
        """
        from train.families.elmo.preparing import WordPreparation

        given = self.vocabulary and read_vocabulary(self.vocabulary)
        return WordPreparation(self, say, given)
