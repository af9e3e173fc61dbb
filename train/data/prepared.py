# SPDX-License-Identifier: Apache-2.0
"""The record of a preparation in its directory: its text, settings and summary."""

import dataclasses
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embed_jax.files.checked_files import CHECKSUMS
from embed_jax.files.checksum import sha256_file
from embed_jax.files.json_file import json_text, read_json
from embed_jax.files.output_file import open_output
from embed_jax.files.sealed import sealed, unsealed
from train.called import called
from train.data.config import DataConfig, describe, fingerprint
from train.data.content import Known
from train.data.same_settings import differing, names_differ
from train.data.sources import corpus_digest, former_digest
from train.data.store import REMEDY

PREPARED, UNFINISHED = "prepared.json", "unfinished"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The record of a preparation.

    Attributes:
      settings: from `train.data.config.describe`.
      fingerprint: of the settings.
      corpus: digest of what the text files hold; of an earlier version, of their names,
        sizes and times.
      summary: the amount of text; empty if the preparation is not finished.
      files: the SHA-256 of each file beside the stores, such as the vocabulary, and of
        the stores' checksums; empty in a record of an earlier version.
      encoded_as: the form that the text is encoded in, see `DataConfig`.
      known: for each text file its size, time and digest, so that it need not be read
        to know that it is the same; empty in a record of an earlier version.
    """

    settings: dict[str, Any]
    fingerprint: str
    corpus: str
    summary: str = ""
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    encoded_as: int = 1
    known: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, data: DataConfig, known: Known | None = None) -> "Prepared":
        """Return the record that a preparation of `data` would have now.

        Args:
          data: the settings.
          known: of an earlier record, changed in place: text files that have the size
            and time that it knows are not read.

        Raises:
          ValueError: no such file or data set, or an empty one.
          OSError: a text file cannot be read.
        """
        known = {} if known is None else known
        corpus = corpus_digest(data.source, known)
        return cls(
            describe(data),
            fingerprint(data),
            corpus,
            encoded_as=data.encoded_as,
            known=dict(known),
        )

    @classmethod
    def read(cls, directory: Path) -> "Prepared | None":
        """Read the record of a directory; None if it is missing or broken."""
        path = directory / PREPARED
        try:
            record = cls(**unsealed(read_json(path), str(path)))
        except (OSError, ValueError, TypeError):
            return None
        texts = record.fingerprint, record.corpus, record.summary
        objects = record.settings, record.files, record.known
        is_sound = all(isinstance(each, dict) for each in objects)
        return record if is_sound and all(type(t) is str for t in texts) else None

    def write(self, directory: Path) -> None:
        """Write the record into a directory, atomically."""
        with open_output(directory / PREPARED) as file:
            record = sealed(dataclasses.asdict(self))
            content = json_text(record, indent=2) + "\n"
            file.write(content.encode())

    def difference(self, data: DataConfig, known: Known | None = None) -> str | None:
        """Describe what is not as recorded; None if nothing is.

        Args:
          data: the settings of now.
          known: see `of`; by default what this record knows.

        Raises:
          ValueError: no such file or data set, or an empty one.
          OSError: a text file cannot be read.
        """
        if names := differing(self.settings, data):
            return f"another {', '.join(names)}"
        # An earlier version's digest is taken in its own way, which reads nothing.
        if not self.known and self.corpus == former_digest(data.source):
            return None
        known = dict(self.known) if known is None else known
        is_same = self.corpus == corpus_digest(data.source, known)
        return None if is_same else "its text has changed"


def digest_files(data: DataConfig) -> dict[str, str]:
    """Return the SHA-256 of each small file of a preparation.

    Of a store it is that of its checksums, which are of its other files.
    """
    paths = []
    for name, files in data.written.items():
        path = data.directory / name
        names = {CHECKSUMS} if (path / CHECKSUMS).is_file() else files
        paths += [path / file for file in sorted(names)] if files else [path]
    return {
        str(path.relative_to(data.directory)): sha256_file(path)
        for path in paths
        if path.is_file()
    }


def check_beside(directory: Path, name: str) -> None:
    """Hold a file, or the files of a folder, against the record of a preparation.

    Args:
      directory: of the prepared files; without a finished record nothing is checked.
      name: of a file or a folder in it.

    Raises:
      ValueError: one has changed since it was prepared; names it.
    """
    record = Prepared.read(directory)
    for file, digest in (record.files if record else {}).items():
        path = directory / file
        is_asked = name in (file, file.split("/")[0]) and path.is_file()
        if is_asked and sha256_file(path) != digest:
            raise ValueError(f"{path} is damaged; {REMEDY}")


def is_unfinished(path: Path) -> bool:
    """Return whether a directory is that of an interrupted preparation."""
    if Prepared.read(path):
        return True
    # A kill may have come before its first file was whole.
    return path.is_dir() and all(
        entry.name.startswith(PREPARED) for entry in path.iterdir()
    )


def remove_unfinished(path: Path) -> None:
    """Remove the directory of a preparation; `is_unfinished` until nothing is left."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif not entry.name.startswith(PREPARED):
            entry.unlink()
    shutil.rmtree(path)


def check_own(directory: Path, kinds: Iterable[type[DataConfig]]) -> None:
    """Check that a preparation would replace only files of an earlier preparation.

    Args:
      directory: of the prepared files.
      kinds: of data that the directory may have been prepared with before.

    Raises:
      FileExistsError: names the files that would be lost.
    """
    unfinished = directory / UNFINISHED
    remedy = "move it, or give another data.directory"
    if unfinished.exists() and not is_unfinished(unfinished):
        raise FileExistsError(
            f"{unfinished} is there already, and no preparation has made it; {remedy}"
        )
    is_own = Prepared.read(directory) or Prepared.read(unfinished)
    written: dict[str, set[str]] = defaultdict(set)
    for kind in kinds:
        for name, files in kind.written.items():
            written[name] |= files
    written[PREPARED] |= set()
    for name, files in written.items():
        path = directory / name
        if not path.exists():
            continue
        if not is_own:
            raise FileExistsError(
                f"{path} is there already, and no preparation has made it; {remedy}"
            )
        held = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        if foreign := sorted(held - files):
            raise FileExistsError(
                f"{path / foreign[0]} would be lost, for {path} is replaced whole; "
                f"{remedy}"
            )


def check_prepared(data: DataConfig, *, of_run: bool = False) -> None:
    """Check that a directory is prepared, with the same settings.

    The text itself is read only if it is named otherwise than it was; it need not exist
    any more.

    Args:
      data: the settings.
      of_run: whether a run goes on that knows the prepared text by its content, so that
        it does not matter what text it was made of.

    Raises:
      ValueError: names the difference and the remedy.
    """
    remedy = f"run {called('prepare')} with the same configuration and text first"
    before = Prepared.read(data.directory)
    if before is None and (data.directory / PREPARED).is_file():
        raise ValueError(
            f"{data.directory / PREPARED} is damaged, or of a later version; {REMEDY}"
        )
    if before is None or not before.summary:
        raise ValueError(f"{data.directory} is not prepared; {remedy}")
    names = differing(before.settings, data)
    if not names and not of_run and not _is_of_text(before, data):
        names = ["source"]
    if names:
        raise ValueError(
            f"{data.directory} was prepared by other settings: "
            f"another {', '.join(names)}; {remedy}"
        )
    found = digest_files(data)
    for name, digest in before.files.items():
        if not (data.directory / name).parent.is_dir():
            continue  # Who needs that part says that there is none.
        if found.get(name) != digest:
            state = "is damaged" if name in found else "is missing"
            raise ValueError(f"{data.directory / name} {state}; {REMEDY}")


def _is_of_text(before: Prepared, data: DataConfig) -> bool:
    """Return whether text was prepared of what is named now."""
    if not names_differ(before.settings, data):
        return True
    try:
        return before.difference(data) is None
    except ValueError:  # there is no such text
        return False
