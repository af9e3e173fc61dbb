# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of HDF5 files of tensors, one tensor at a time."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from elmo_jax.weights import Stored
from embed_jax.files import hdf5 as checked
from embed_jax.files.kinds import MARK

SUFFIXES = (".hdf5", ".h5")
_FETCH = "fetch it again"


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[list[Stored]]:
    """Open a file and list its datasets, which can be read until the block ends.

    Raises:
      ValueError: no such file, a damaged one, or one whose values are not all its own;
        also when a dataset is read.
      OSError: it may not be read, or is too large for the memory.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    with checked.open_hdf5(path, remedy=_FETCH) as file:
        datasets = checked.stored_datasets(path, file, _FETCH)
        with _refusing_damage(path):
            stored = [
                _stored(path, name, dataset) for name, dataset in datasets.items()
            ]
        yield stored


def _stored(path: Path, name: str, dataset: h5py.Dataset) -> Stored:
    def read() -> np.ndarray:
        with _refusing_damage(path):
            kind, num_bytes = dataset.dtype.kind, dataset.dtype.itemsize
        if kind != "f" or num_bytes > 8:
            raise ValueError(f"{path}: {name} is {dataset.dtype}, not a float")
        # HDF5 converts while it reads; no array of another type is made.
        values = np.empty(dataset.shape, np.float32)
        with _refusing_damage(path):
            dataset.read_direct(values)
        return values

    # A dataset may have no shape at all; no model has one of shape (0,).
    shape = (0,) if dataset.shape is None else dataset.shape
    return Stored(str(path), name, shape, read)


def write_hdf5(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors as datasets; slashes in their names make groups.

    Raises:
      OSError: the disk is full or fails.
    """
    # Through Python's file, for its errors: HDF5 cannot close its own on a full disk,
    # prints what nobody can catch, and crashes the process.
    with path.open("w+b") as raw, h5py.File(raw, "w") as file:
        file.attrs[MARK] = "elmo_jax.save"
        for name, values in tensors.items():
            file.create_dataset(name, data=values)


def _refusing_damage(path: Path) -> contextlib.AbstractContextManager[None]:
    return checked.reading_hdf5(path, _FETCH)
