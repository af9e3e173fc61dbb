# SPDX-License-Identifier: Apache-2.0
"""What text is prepared, and how: the settings, and what tells two of them apart."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from train.data.sources import Documents, Source
from train.plain import to_plain

# Of the files; another number where code that reads them would read others wrongly.
_FORMAT = 1
# What changes neither the files nor what is in them.
_IMMATERIAL = {"directory", "source_directory", "num_workers"}
# Beside them the weights of a model may lie, which would take long to read.
_TOKENIZER_FILES = {".json", ".txt", ".model"}


Say = Callable[[str], None]
"""Is given lines that tell how far something is."""


@runtime_checkable
class Preparation(Protocol):
    """What makes the prepared files of one kind of data."""

    def run(self, documents: Documents, unfinished: Path) -> str:
        """Prepare a text.

        Args:
          documents: the text.
          unfinished: the directory of what an interrupted preparation goes on with.

        Returns:
          How much text there is, in a line for people.

        Raises:
          ValueError: anything about the text.
          OSError: a file cannot be read or written.
        """
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which text is read, and where it is kept when it is encoded.

    A kind of data, such as words, derives its own settings from it.

    Attributes:
      written: what preparing this kind replaces in `directory`: the names of files,
        and of directories with the names of the files that they hold.
      source: the text.
      directory: where the prepared files lie.
      source_directory: where local text is kept as a TFDS data set, which several
        preparations can share; by default `source` in `directory`.
      held_out_every: every so many documents the last one is held out, to measure on;
        0 holds none out.
      num_workers: processes; 0 for as many as there are cores. The files do not depend
        on it.
    """

    written: ClassVar[Mapping[str, Set[str]]] = {}

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

    def preparation(self, say: Say) -> Preparation:
        """Return what prepares this kind of data.

        Args:
          say: is given lines that tell how far it is.

        Raises:
          ValueError: a setting that is wrong whatever the text is.
        """
        raise NotImplementedError(f"{type(self).__name__} is no kind of data")


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
