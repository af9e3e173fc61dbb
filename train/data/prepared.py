# SPDX-License-Identifier: Apache-2.0
"""The record of a preparation in its directory: its text, settings and summary."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embed_jax.files.output_file import open_output
from train.data.config import DataConfig, describe, fingerprint
from train.data.sources import corpus_digest

PREPARED, UNFINISHED = "prepared.json", "unfinished"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The record of a preparation.

    Attributes:
      settings: from `train.data.config.describe`.
      fingerprint: of the settings.
      corpus: digest of the text files.
      summary: the amount of text; empty if the preparation is not finished.
    """

    settings: dict[str, Any]
    fingerprint: str
    corpus: str
    summary: str = ""

    @classmethod
    def of(cls, data: DataConfig) -> "Prepared":
        """Return the record that a preparation of `data` would have now.

        Raises:
          ValueError: no such file or data set, or an empty one.
        """
        return cls(describe(data), fingerprint(data), corpus_digest(data.source))

    @classmethod
    def read(cls, directory: Path) -> "Prepared | None":
        """Read the record of a directory; None if it is missing or broken."""
        try:
            content = json.loads((directory / PREPARED).read_text(encoding="utf-8"))
            return cls(**content)
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, directory: Path) -> None:
        """Write the record into a directory, atomically."""
        with open_output(directory / PREPARED) as file:
            content = json.dumps(dataclasses.asdict(self), indent=2) + "\n"
            file.write(content.encode())

    def is_like(self, other: "Prepared | None") -> bool:
        """Return whether both are of the same text and the same settings."""
        return (
            other is not None
            and self.fingerprint == other.fingerprint
            and self.corpus == other.corpus
        )

    def difference(self, other: "Prepared") -> str:
        """Describe the difference to another record."""
        old, new = self.settings, other.settings
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if names:
            return f"another {', '.join(names)}"
        return "its text has changed"


def is_unfinished(path: Path) -> bool:
    """Return whether a directory is that of an interrupted preparation."""
    if Prepared.read(path):
        return True
    # A kill may have come before its first file was whole.
    return path.is_dir() and all(
        entry.name.startswith(PREPARED) for entry in path.iterdir()
    )


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
    remedy = "run python -m train.prepare with the same configuration first"
    before = Prepared.read(data.directory)
    if before is None or not before.summary:
        raise ValueError(f"{data.directory} is not prepared; {remedy}")
    wanted = Prepared(describe(data), fingerprint(data), before.corpus)
    if not before.is_like(wanted):
        raise ValueError(
            f"{data.directory} was prepared by other settings: "
            f"{before.difference(wanted)}; {remedy}"
        )
