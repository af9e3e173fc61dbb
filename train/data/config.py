# SPDX-License-Identifier: Apache-2.0
"""The settings of data preparation, and their fingerprint."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from embed_jax.checks import check_fields
from embed_jax.files.json_file import json_text
from train.data.sources import Documents, Source
from train.plain import to_plain

# Of the files; another number where code that reads them would read others wrongly.
_FORMAT = 1
IMMATERIAL = {"directory", "source_directory", "num_workers"}
"""Fields that change neither the files nor what is in them."""
# Beside them the weights of a model may lie, which would take long to read.
_TOKENIZER_FILES = {".json", ".txt", ".model"}


Say = Callable[[str], None]
"""A function that takes lines about the progress."""


@runtime_checkable
class Preparation(Protocol):
    """The preparation of one kind of data."""

    def run(self, documents: Documents, unfinished: Path) -> str:
        """Prepare a text.

        Args:
          documents: the text.
          unfinished: directory of intermediate files, used again after an interruption.

        Returns:
          A line about the amount of text.

        Raises:
          ValueError: the text is invalid.
          OSError: a file cannot be read or written.
        """
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Base class of data settings: the text, and the directory of the encoded text.

    Each kind of data, such as words, derives its own settings.

    Attributes:
      written: the entries of `directory` that a preparation replaces: names of files,
        and of directories with the names of their files.
      own_tokens: tokens that the model adds itself; sentences with them are counted.
      encoded_as: the form of the encoded text; another number where the same text and
        settings give other tokens than before. What is prepared in an earlier form is
        used as it is.
      of_source: fields whose values are chosen for a text, not for a model.
      source: the text.
      directory: the directory of the prepared files.
      source_directory: the directory of local text as a TFDS data set, which several
        preparations can share; by default `source` in `directory`.
      held_out_every: hold out the last of every so many documents, for evaluation; 0
        for none.
      num_workers: processes; 0 for the number of cores. The files do not depend on it.
    """

    written: ClassVar[Mapping[str, Set[str]]] = {}
    own_tokens: ClassVar[tuple[str, ...]] = ()
    encoded_as: ClassVar[int] = 1
    of_source: ClassVar[Set[str]] = frozenset({"source_directory", "held_out_every"})

    source: Source
    directory: Path
    source_directory: Path | None = None
    held_out_every: int = 20
    num_workers: int = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: a number out of its range; names the field.
        """
        check_fields(self)
        if self.held_out_every < 0 or self.held_out_every == 1:
            raise ValueError(
                f"held_out_every must be 0 (none) or at least 2, not "
                f"{self.held_out_every}; 1 would leave nothing to train on"
            )
        if self.num_workers < 0:
            raise ValueError(
                f"num_workers must be 0 (all cores) or more, not {self.num_workers}"
            )

    def with_source(self, source: Source, directory: Path) -> "DataConfig":
        """Return settings for another text, with defaults for what is of the text."""
        defaults = {
            field.name: field.default
            for field in dataclasses.fields(self)
            if field.name in self.of_source
        }
        return dataclasses.replace(self, source=source, directory=directory, **defaults)

    def preparation(self, say: Say) -> Preparation:
        """Return the preparation of this kind of data.

        Args:
          say: takes lines about the progress.

        Raises:
          ValueError: an invalid setting, whatever the text.
        """
        raise NotImplementedError(f"{type(self).__name__} is no kind of data")


def describe(config: DataConfig) -> dict[str, Any]:
    """Return the settings that the prepared files depend on, as JSON values.

    Files and directories are described by their path and a digest of their content.
    """
    fields = {
        field.name: to_plain(getattr(config, field.name), _with_content)
        for field in dataclasses.fields(config)
        if field.name not in IMMATERIAL
    }
    return {"format": _FORMAT, "kind of data": type(config).__name__, **fields}


def fingerprint(config: DataConfig) -> str:
    """Return a hash of the settings, equal for configurations that give the same files.

    It covers the settings and the content of a given vocabulary or tokeniser, but not
    the text, for which see `train.data.sources.corpus_digest`.
    """
    text = json_text(describe(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_content(path: Path) -> dict[str, str | None]:
    return {"path": str(path), "content": _content(path)}


def _content(path: Path) -> str | None:
    """Return a digest of a file, or of the tokeniser's files in a directory."""
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
