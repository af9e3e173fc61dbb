# SPDX-License-Identifier: Apache-2.0
"""The settings for preparing text as words."""

import dataclasses
from collections.abc import Mapping, Set
from pathlib import Path
from typing import ClassVar, Literal

from elmo_jax.characters import BEGIN_TOKEN, END_TOKEN
from elmo_jax.vocabulary import read_vocabulary
from embed_jax.checks import check_at_least
from train.data.config import DataConfig, Preparation, Say
from train.data.encoding import PARTS
from train.data.store import STORE_FILES
from train.families.elmo.words import CHARACTERS, COUNTS, TARGETS, TYPES, VOCABULARY


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordData(DataConfig):
    """Text as words, for ELMo.

    Attributes:
      vocab_size: words that the softmax predicts, `<S>`, `</S>` and `<UNK>` included;
        fewer if the text has fewer.
      min_count: rarer words are predicted as `<UNK>`.
      vocabulary: an existing vocabulary to use instead of one made from the text; a
        word a line, optionally with a tab and its count. `vocab_size` and `min_count`
        are then ignored.
      split: moses, raw text is split as the One Billion Word Benchmark was;
        whitespace, its words are already split.
      max_characters: longest word in bytes, its two marks included; further bytes are
        cut off.
    """

    written: ClassVar[Mapping[str, Set[str]]] = {
        **dict.fromkeys(PARTS, STORE_FILES | {TYPES, COUNTS, TARGETS, CHARACTERS}),
        VOCABULARY: frozenset(),
    }

    own_tokens: ClassVar[tuple[str, ...]] = (BEGIN_TOKEN, END_TOKEN)
    of_source: ClassVar[Set[str]] = DataConfig.of_source | {"split"}

    vocab_size: int = 30000
    min_count: int = 1
    vocabulary: Path | None = None
    split: Literal["moses", "whitespace"] = "moses"
    max_characters: int = 50

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: a number out of its range; names the field.
        """
        super().__post_init__()
        check_at_least(self, 4, "vocab_size", why="three specials and a word")
        check_at_least(self, 1, "min_count")
        check_at_least(self, 3, "max_characters", why="two marks and a byte")

    def preparation(self, say: Say) -> Preparation:
        """Return the preparation of words.

        Raises:
          ValueError: the given vocabulary cannot be read.
        """
        from train.families.elmo.preparing import WordPreparation

        given = self.vocabulary and read_vocabulary(self.vocabulary)
        return WordPreparation(self, say, given)
