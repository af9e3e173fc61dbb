# SPDX-License-Identifier: Apache-2.0
"""The settings for preparing text as word pieces."""

import dataclasses
from collections.abc import Mapping, Set
from pathlib import Path
from typing import ClassVar, Literal

from embed_jax.checks import check_at_least
from train.data.config import DataConfig, Preparation, Say
from train.data.encoding import PARTS
from train.data.store import STORE_FILES
from train.families.bert.pieces import (
    CONTINUES,
    TOKENIZER,
    TOKENIZER_FILES,
    read_tokenizer,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PieceData(DataConfig):
    """Text as word pieces, for BERT.

    Attributes:
      vocab_size: pieces, specials included; fewer if the text has not enough.
      cased: whether case is kept.
      kind: of the tokeniser that is trained.
      tokenizer: an existing tokeniser to use instead of training one: a directory with
        tokenizer.json, vocab.txt or a SentencePiece model, or a .model file. It
        replaces `vocab_size`, `cased` and `kind`.
    """

    written: ClassVar[Mapping[str, Set[str]]] = {
        **dict.fromkeys(PARTS, STORE_FILES | {CONTINUES}),
        TOKENIZER: TOKENIZER_FILES,
    }

    # In form 1 a special piece that stood in a text, such as [SEP], was read as one.
    encoded_as: ClassVar[int] = 2

    vocab_size: int = 8000
    cased: bool = False
    kind: Literal["wordpiece", "sentencepiece"] = "wordpiece"
    tokenizer: Path | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: a number out of its range; names the field.
        """
        super().__post_init__()
        check_at_least(
            self, 7, "vocab_size", why="five specials and a letter, alone and in a word"
        )

    def preparation(self, say: Say) -> Preparation:
        """Return the preparation of word pieces.

        Raises:
          ValueError: the given tokeniser cannot be read.
        """
        from train.families.bert.preparing import PiecePreparation

        given = self.tokenizer and read_tokenizer(self.tokenizer)
        return PiecePreparation(self, say, given)
