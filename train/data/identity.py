# SPDX-License-Identifier: Apache-2.0
"""What a run was trained on: digests of its vocabulary and of its encoded text."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from train.data.config import DataConfig
from train.data.encoding import PARTS

# Records about the other files, which an earlier or later version writes otherwise.
_RECORDS = {"checksums.json"}


def identify(data: DataConfig) -> dict[str, str]:
    """Return digests of prepared text, whatever its directory is called.

    Every file is read, which takes a second or two for a gigabyte.

    Args:
      data: of a prepared directory.

    Returns:
      "vocabulary", of the words or of the tokeniser, and "text", of the encoded text.

    Raises:
      OSError: a file cannot be read.
    """
    found = {"vocabulary": hashlib.sha256(), "text": hashlib.sha256()}
    for name, path in _files(data):
        part = "text" if name.split("/")[0] in PARTS else "vocabulary"
        found[part].update(f"{name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            found[part].update(hashlib.file_digest(file, "sha256").digest())
    return {name: digest.hexdigest() for name, digest in found.items()}


def check_identity(held: object, data: DataConfig, run: Path) -> None:
    """Check that prepared text is what a run was trained on.

    Args:
      held: what `identify` gave when the run began.
      data: of a prepared directory.
      run: the directory of the run, for messages.

    Raises:
      ValueError: the vocabulary or the text is another one.
    """
    ours = identify(data)
    held = held if isinstance(held, dict) else {}
    for name, digest in ours.items():
        if held.get(name) != digest:
            raise ValueError(
                f"{data.directory} holds another {name} than {run} was trained on, "
                "so it was prepared again since; prepare it once more from the text of "
                "the run, or from that text into another --data.directory, or begin "
                "another run"
            )


def _files(data: DataConfig) -> Iterator[tuple[str, Path]]:
    for name, files in sorted(data.written.items()):
        path = data.directory / name
        if path.is_file():
            yield name, path
        for file in sorted(files - _RECORDS):
            if (path / file).is_file():
                yield f"{name}/{file}", path / file
