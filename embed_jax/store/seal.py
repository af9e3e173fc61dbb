# SPDX-License-Identifier: Apache-2.0
"""The attributes of a store, and their checksum.

Values are checked by HDF5's Fletcher-32 filter, and the structure of the file by the
checksums of the format of HDF5 1.10. A string of any length would lie in a heap that
has none, and in which HDF5 2.0 turns in a circle for ever when it is damaged: so texts
have their length in their type.
"""

import zlib
from pathlib import Path
from typing import Any

import h5py

from embed_jax.files.checksum import as_digits
from embed_jax.files.hdf5 import COPY_AGAIN, reading_hdf5
from embed_jax.files.json_file import json_text

LIBVER = ("v110", "v110")
"""The format of HDF5 1.10, whose headers and indices have checksums."""

_KEY = "checksum"


def attribute(path: Path, file: h5py.File, name: str) -> Any:
    """Read an attribute; all but "format" are text.

    Raises:
      ValueError: the file is damaged.
    """
    # h5py gives its attributes no type.
    with reading_hdf5(path):
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
    if name != "format" and not isinstance(value, str):
        raise ValueError(f"{path} is damaged, in its {name}: {COPY_AGAIN}")
    return value


def write_text(file: h5py.File, name: str, text: str) -> None:
    """Write an attribute, a text that is not empty."""
    content = text.encode("utf-8")
    dtype = h5py.string_dtype("utf-8", len(content))
    file.attrs.create(name, content, dtype=dtype)


def seal(file: h5py.File) -> None:
    """Write the checksum of all attributes there are."""
    write_text(file, _KEY, _checksum(file))


def check_seal(path: Path, file: h5py.File) -> None:
    """Check the attributes; earlier versions wrote no checksum.

    Raises:
      ValueError: they have changed since.
    """
    with reading_hdf5(path):
        sound = _KEY not in file.attrs or attribute(path, file, _KEY) == _checksum(file)
    if not sound:
        raise ValueError(f"{path} is damaged, in its attributes: {COPY_AGAIN}")


def _checksum(file: h5py.File) -> str:
    held = {name: str(file.attrs[name]) for name in sorted(file.attrs) if name != _KEY}
    text = json_text(held)
    return as_digits(zlib.crc32(text.encode()))
