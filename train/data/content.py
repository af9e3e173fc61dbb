# SPDX-License-Identifier: Apache-2.0
"""Digests of what files hold, whatever they are called and whenever they were written.

Sizes and times of files only spare reading them again.
"""

import hashlib
import json
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any

from embed_jax.files.checksum import sha256_file

Known = MutableMapping[str, Any]
"""For each file by its absolute path, its size, its time and its digest."""


def digest_contents(files: Iterable[Path], known: Known | None = None) -> list[str]:
    """Return the SHA-256 of each file.

    Args:
      files: in their order.
      known: digests of earlier calls, for files that have the same size and time since;
        those that are made are added.

    Raises:
      OSError: a file cannot be read.
    """
    known = {} if known is None else known
    return [_digest_of(file, known) for file in files]


def _digest_of(file: Path, known: Known) -> str:
    name, status = str(file.absolute()), file.stat()
    state = [status.st_size, status.st_mtime_ns]
    match known.get(name):
        case [size, time, str(digest)] if [size, time] == state:
            return digest
    # The state from before reading: a file that changes meanwhile is read again.
    digest = sha256_file(file)
    known[name] = [*state, digest]
    return digest


def digest_of(values: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
