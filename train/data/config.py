# SPDX-License-Identifier: Apache-2.0
"""What text is prepared, and how: the settings, and what tells two of them apart."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from embed_jax.checks import check_at_least
from train.data.sources import Source
from train.plain import to_plain

# Of the files; another number where code that reads them would read others wrongly.
_FORMAT = 1
# What changes neither the files nor what is in them.
_IMMATERIAL = {"directory", "source_directory", "num_workers"}
# Beside them the weights of a model may lie, which would take long to read.
_TOKENIZER_FILES = {".json", ".txt", ".model"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which text is read, and where it is kept when it is encoded.

    Attributes:
      source: the text.
      directory: where the prepared files lie.
      source_directory: where local text is kept as a TFDS data set, which several
        preparations can share; by default `source` in `directory`.
      held_out_every: every so many documents the last one is held out, to measure on;
        0 holds none out.
      num_workers: processes; 0 for as many as there are cores. The files do not depend
        on it.
    """

    source: Source
    directory: Path
    source_directory: Path | None = None
    held_out_every: int = 20
    num_workers: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
          ValueError: a number out of its range; names the field.
        """
        if self.held_out_every < 0 or self.held_out_every == 1:
            raise ValueError(
                f"held_out_every must be 0 (none) or at least 2, not "
                f"{self.held_out_every}; 1 would leave nothing to train on"
            )
        if self.num_workers < 0:
            raise ValueError(
                f"num_workers must be 0 (all cores) or more, not {self.num_workers}"
            )


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
        check_at_least(self, 4, "vocab_size", why="three specials and a word")
        check_at_least(self, 1, "min_count")
        check_at_least(self, 3, "max_characters", why="two marks and a byte")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PieceData(DataConfig):
    """Text as word pieces, for BERT.

    Attributes:
      vocab_size: pieces, specials included; fewer where the text has not enough.
      cased: whether capitals are kept.
      kind: of the tokeniser that is trained.
      tokenizer: a tokeniser that is taken as it is, instead of training one: a
        directory with tokenizer.json, vocab.txt or a SentencePiece model, or such a
        .model file. `vocab_size`, `cased` and `kind` are its own then.
    """

    vocab_size: int = 8000
    cased: bool = False
    kind: Literal["wordpiece", "sentencepiece"] = "wordpiece"
    tokenizer: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
          ValueError: a number out of its range; names the field.
        """
        super().__post_init__()
        check_at_least(self, 6, "vocab_size", why="five specials and a piece")


def describe(config: DataConfig) -> dict[str, Any]:
    """Return the settings that decide about the files, as JSON can hold them.

    A file or directory that is named counts with what is in it.
    """
    fields = {
        field.name: to_plain(getattr(config, field.name), _with_content)
        for field in dataclasses.fields(config)
        if field.name not in _IMMATERIAL
    }
    return {"format": _FORMAT, "kind of data": type(config).__name__, **fields}


def fingerprint(config: DataConfig) -> str:
    """Return what two configurations share where they give the same files.

    It knows the settings and the content of a given vocabulary or tokeniser; whether
    the text changed is told by `train.data.sources.corpus_digest`.
    """
    text = json.dumps(describe(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_content(path: Path) -> dict[str, str | None]:
    return {"path": str(path), "content": _content(path)}


def _content(path: Path) -> str | None:
    """Digest a file, or those of a directory that a tokeniser may have."""
    files = [path]
    if path.is_dir():
        files = [p for p in sorted(path.iterdir()) if p.suffix in _TOKENIZER_FILES]
    if not all(file.is_file() for file in files):
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
