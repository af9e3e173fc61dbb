# SPDX-License-Identifier: Apache-2.0
"""The journal of a store: a small file with its settings and its committed size."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from embed_jax.files.json_file import json_text, read_json
from embed_jax.files.sealed import sealed, unsealed
from embed_jax.files.sync import put_in_place
from embed_jax.messages import one_line
from embed_jax.store.layout import (
    ARRAYS,
    FORMAT,
    IDENTITY,
    MODEL,
    OFFSET,
    STORED_DTYPES,
)


@dataclass(frozen=True)
class Journal:
    """The settings of a partial store, and how much of its raw files is committed.

    Attributes:
      dim: width of the vectors.
      dtype: a key of `STORED_DTYPES`.
      metadata: the description of the vectors.
      num_sentences: committed sentences.
      num_rows: committed rows of all arrays that have one a word.
      num_bytes: committed bytes of text.
      checksums: for each raw file the CRC-32 of what is committed of it; none in a
        journal of an earlier version, and in that of a finished store.
    """

    dim: int
    dtype: str
    metadata: dict[str, Any]
    num_sentences: int = 0
    num_rows: int = 0
    num_bytes: int = 0
    checksums: dict[str, int] = field(default_factory=dict)

    def shape_of(self, array: str) -> tuple[int, ...]:
        """Shape of an array of the HDF5 file."""
        return {
            "vectors": (self.num_rows, self.dim),
            "offsets": (self.num_sentences + 1,),
            "words": (self.num_bytes,),
            "word_offsets": (self.num_rows + 1,),
        }[array]

    def dtype_of(self, array: str) -> np.dtype:
        """Dtype of an array, in the raw file and in HDF5 alike."""
        return {
            "vectors": STORED_DTYPES[self.dtype],
            "words": np.dtype(np.uint8),
        }.get(array, OFFSET)

    def size_of(self, array: str) -> int:
        """Bytes of the raw file."""
        return math.prod(self.shape_of(array)) * self.dtype_of(array).itemsize

    def identity(self) -> dict[str, str]:
        """Return the settings that must be equal to resume, each value as JSON."""
        return _as_json({"dim": self.dim, "dtype": self.dtype}) | {
            f"metadata[{key!r}]": value
            for key, value in identity_of(self.metadata).items()
        }


def identity_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return what must be equal for vectors to be of one store, each value as JSON.

    A model that is known by its content may be called otherwise than before.

    Example:
      >>> identity_of({"model": "a", "level": "words"})
      {'model': '"a"', 'level': '"words"'}
      >>> identity_of({"model": "a", "model_identity": {"form": 1}})
      {'model_identity.form': '1'}
    """
    content = metadata.get(IDENTITY)
    if not isinstance(content, dict):
        return _as_json(metadata)
    others = {
        key: value for key, value in metadata.items() if key not in (MODEL, IDENTITY)
    }
    parts = {f"{IDENTITY}.{key}": value for key, value in content.items()}
    return _as_json(others | parts)


def as_known_to(held: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata without what the version that wrote other ones did not keep."""
    return {
        key: value
        for key, value in metadata.items()
        if key != IDENTITY or IDENTITY in held
    }


def _as_json(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: json_text(value, sort_keys=True) for key, value in values.items()}


def parse_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the metadata as read back from JSON, where a tuple becomes a list."""
    return json.loads(json.dumps(dict(metadata or {}), allow_nan=False))


def write_journal(partial: Path, journal: Journal) -> None:
    """Replace the journal of a partial store, atomically and synced to disk."""
    # Not `open_output`: the folder is ours and locked, and a name that is known is one
    # that the next run can remove after a kill.
    new = partial / "journal.new"
    with new.open("w", encoding="utf-8") as file:
        file.write(json_text(sealed({"format": FORMAT} | asdict(journal))))
    put_in_place(new, partial / "journal.json")


def read_journal(partial: Path) -> Journal | None:
    """Return the last committed journal, or None if there is none.

    Raises:
      ValueError: the journal is of another format, or damaged.
    """
    path = partial / "journal.json"
    if not path.exists():
        return None
    try:
        fields = unsealed(read_json(path), str(path))
    except ValueError as error:
        raise ValueError(f"{one_line(error)}; overwrite=True starts over") from error
    try:
        if fields.pop("format") == FORMAT:
            journal = Journal(**fields)
            _check_fields(journal)
            return journal
    except (ValueError, TypeError, KeyError):
        pass
    raise ValueError(
        f"{partial} is no partial store of format {FORMAT}: "
        "resume with the version that began it, or start over with overwrite=True"
    )


def _check_fields(journal: Journal) -> None:
    """Refuse what no writer writes, before a size is computed from it."""
    counts = journal.num_sentences, journal.num_rows, journal.num_bytes
    for number in (journal.dim - 1, *counts, *journal.checksums.values()):
        if type(number) is not int or number < 0:
            raise ValueError(f"{number} is no count")
    if journal.dtype not in STORED_DTYPES or not isinstance(journal.metadata, dict):
        raise ValueError("the settings are not those of a store")
    if journal.checksums and journal.checksums.keys() != set(ARRAYS):
        raise ValueError("the checksums are not those of a store")


def check_same(path: Path, held: Journal, new: Journal) -> None:
    """Check that two runs have the same settings, before their vectors are combined.

    Raises:
      ValueError: width, dtype or metadata differ; the first difference is named.
    """
    known = replace(new, metadata=as_known_to(held.metadata, new.metadata))
    before, now = held.identity(), known.identity()
    for key in before | now:
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{path} was written with {key} = {before.get(key, 'absent')}, this "
                f"run has {now.get(key, 'absent')}: make them agree, or start over "
                "with overwrite=True"
            )
