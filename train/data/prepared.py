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
from train.data.sources import corpus_digest
from train.data.store import REMEDY

PREPARED, UNFINISHED = "prepared.json", "unfinished"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The record of a preparation.

    Attributes:
      settings: from `train.data.config.describe`.
      fingerprint: of the settings.
      corpus: digest of the text files.
      summary: the amount of text; empty if the preparation is not finished.
      files: the SHA-256 of each file beside the stores, such as the vocabulary, and of
        the stores' checksums; empty in a record of an earlier version.
      encoded_as: the form that the text is encoded in, see `DataConfig`.
    """

    settings: dict[str, Any]
    fingerprint: str
    corpus: str
    summary: str = ""
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    encoded_as: int = 1

    @classmethod
    def of(cls, data: DataConfig) -> "Prepared":
        """Return the record that a preparation of `data` would have now.

        Raises:
          ValueError: no such file or data set, or an empty one.
        """
        return cls(
            describe(data),
            fingerprint(data),
            corpus_digest(data.source),
            encoded_as=data.encoded_as,
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
        is_sound = isinstance(record.settings, dict) and isinstance(record.files, dict)
        return record if is_sound and all(type(t) is str for t in texts) else None

    def write(self, directory: Path) -> None:
        """Write the record into a directory, atomically."""
        with open_output(directory / PREPARED) as file:
            record = sealed(dataclasses.asdict(self))
            content = json_text(record, indent=2) + "\n"
            file.write(content.encode())

    def is_like(self, other: "Prepared | None") -> bool:
        """Return whether both are of the same text and the same settings."""
        return (
            other is not None
            and self.fingerprint == other.fingerprint
            and self.corpus == other.corpus
        )

    def goes_on_from(self, other: "Prepared | None") -> bool:
        """Return whether what another one has begun can be gone on with."""
        return (
            other is not None
            and self.is_like(other)
            and self.encoded_as == other.encoded_as
        )

    def difference(self, other: "Prepared") -> str:
        """Describe the difference to another record."""
        old, new = self.settings, other.settings
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if names:
            return f"another {', '.join(names)}"
        return "its text has changed"


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


def check_prepared(data: DataConfig) -> None:
    """Check that a directory is prepared, with the same settings.

    The text itself is not read; it need not exist any more.

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
    wanted = Prepared(describe(data), fingerprint(data), before.corpus)
    if not before.is_like(wanted):
        raise ValueError(
            f"{data.directory} was prepared by other settings: "
            f"{before.difference(wanted)}; {remedy}"
        )
    found = digest_files(data)
    for name, digest in before.files.items():
        if not (data.directory / name).parent.is_dir():
            continue  # Who needs that part says that there is none.
        if found.get(name) != digest:
            state = "is damaged" if name in found else "is missing"
            raise ValueError(f"{data.directory / name} {state}; {REMEDY}")
