# SPDX-License-Identifier: Apache-2.0
"""Opening of HDF5 files that may be somebody else's, or damaged.

HDF5 has features by which a file's values are those of other files: external storage,
virtual datasets, soft and external links. A file with one of them can show whoever
opens it any file that the reader may read, and shows zeros where the other is missing.
So links are not followed here, and such datasets are refused, unless a caller that
checks the sources itself asks for them.
"""

import contextlib
import errno
import math
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import h5py
from h5py import h5l, h5o  # pyright: ignore[reportAttributeAccessIssue]

from embed_jax.files.mistaken import mistaken_file
from embed_jax.messages import one_line

COPY_AGAIN = "copy or write it again"
# As HDF5 says it of a file that a writer has marked as its own.
_OPEN = "already open for"

# Numbers, booleans (an enumeration) and texts of one length: no dataset of these refers
# to anything outside its own values.
_PLAIN = (
    h5py.h5t.INTEGER,
    h5py.h5t.FLOAT,
    h5py.h5t.ENUM,
    h5py.h5t.BITFIELD,
    h5py.h5t.STRING,
)


def open_hdf5(
    path: Path,
    *,
    remedy: str = COPY_AGAIN,
    virtual: Collection[str] = (),
    texts: Collection[str] = (),
    **options: Any,
) -> h5py.File:
    """Open a file for reading, after a check that all its values are its own.

    Args:
      path: the file.
      remedy: what helps against damage, for messages.
      virtual: datasets that may be virtual, whose sources the caller checks.
      texts: datasets that may hold strings of different lengths.
      **options: for `h5py.File`.

    Raises:
      ValueError: no HDF5 file, a damaged one, one that is still being written, or one
        with a dataset whose values are not all stored in it; names the dataset.
      OSError: there is no such file, or it cannot be opened.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path} is no regular file, and HDF5 is read from such only")
    try:
        # Not every file system can lock, and what is read here changes never in place.
        file = h5py.File(path, "r", locking=False, **options)
    except OSError as error:
        # What the system refuses carries an errno, what HDF5 cannot read does not.
        if error.errno is not None:
            raise
        if _OPEN in str(error):
            raise ValueError(
                f"{path} is open for writing in another program, or was when that was "
                "killed: wait until it is closed; if it never was, write it again, or "
                "take the mark from it with h5clear -s"
            ) from error
        cause = mistaken_file(path, text=False)
        if cause is not None and not cause.startswith("an HDF5"):
            raise ValueError(f"{path} is no HDF5 file but {cause}") from error
        raise ValueError(
            f"{path} is truncated or no HDF5 file: {remedy} ({one_line(error)})"
        ) from error
    try:
        size = os.stat(path).st_size  # noqa: PTH116 (of the file, wherever links lead)
        for name, dataset in _datasets(path, file, remedy):
            with reading_hdf5(path, remedy):
                fault = _fault(
                    dataset,
                    size,
                    may_be_virtual=name in virtual,
                    may_be_text=name in texts,
                )
            if fault:
                raise ValueError(f"{path}: {name} {fault}; {remedy}")
    except BaseException:
        file.close()
        raise
    return file


@contextlib.contextmanager
def reading_hdf5(path: Path, remedy: str = COPY_AGAIN) -> Iterator[None]:
    """Translate what h5py raises while it reads into one line that names the file.

    Raises:
      ValueError: the file is damaged.
      OSError: the system refused to read, or there is too little memory.
    """
    try:
        yield
    except MemoryError as error:
        raise OSError(
            errno.ENOMEM,
            f"{path} wants more memory than there is ({one_line(error)}); if it is "
            f"not that large, {remedy}",
        ) from error
    except Exception as error:  # h5py raises many kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, f"{path}: {one_line(error)}") from error
        raise ValueError(f"{path} is damaged: {remedy} ({one_line(error)})") from error


def stored_datasets(
    path: Path, file: h5py.File, remedy: str = COPY_AGAIN
) -> dict[str, h5py.Dataset]:
    """Return all datasets of a file by name, none by a link out of its own tree.

    Raises:
      ValueError: the file is damaged, or has links that are not followed.
    """
    return dict(_datasets(path, file, remedy))


def _datasets(
    path: Path, file: h5py.File, remedy: str
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield name and dataset in order of names; refuse soft and external links."""
    # Not by recursion: groups may be nested as deep as the file is long.
    waiting: list[tuple[str, h5py.Group, bytes]] = []
    seen = set()

    def add(place: str, group: h5py.Group) -> None:
        with reading_hdf5(path, remedy):
            # As they are stored, and not every name is UTF-8.
            names = sorted(group.id)
        waiting.extend((place, group, name) for name in reversed(names))

    add("", file)
    while waiting:
        prefix, group, name = waiting.pop()
        place = f"{prefix}{_text(name)}"
        # Not by h5py's own `get`, which takes no name that is not UTF-8.
        with reading_hdf5(path, remedy):
            is_hard = group.id.links.get_info(name).type == h5l.TYPE_HARD
            target = None if is_hard else group.id.links.get_val(name)
        if target is not None:
            named = target if isinstance(target, bytes) else target[0]
            raise ValueError(
                f"{path}: {place} is a link to {_text(named)!r}, and links are not "
                "followed; write a file that holds the values themselves"
            )
        with reading_hdf5(path, remedy):
            item = group[name]
            where = h5o.get_info(item.id).addr
        if isinstance(item, h5py.Dataset):
            yield place, item
        # A group may hold itself; a second name of one is passed over.
        elif isinstance(item, h5py.Group) and where not in seen:
            seen.add(where)
            add(f"{place}/", item)


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def _fault(
    dataset: h5py.Dataset, file_size: int, *, may_be_virtual: bool, may_be_text: bool
) -> str | None:
    """Return why the values of a dataset cannot all be its own; None if they are."""
    settings = dataset.id.get_create_plist()
    if settings.get_external_count():
        other = _text(settings.get_external(0)[0])
        return f"has its values in another file, {other!r}, which is not read"
    for index in range(settings.get_nfilters()):
        number = settings.get_filter(index)[0]
        if not h5py.h5z.filter_avail(number):
            return f"was written through HDF5's filter {number}, which is not here"
    layout = settings.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        if may_be_virtual:
            return None
        return "is virtual: its values are those of other files, which are not read"
    if not may_be_text and not _is_plain(dataset):
        return f"is of type {_describe_type(dataset)}, where numbers are wanted"
    return _missing(dataset, layout, file_size)


def _is_plain(dataset: h5py.Dataset) -> bool:
    kind = dataset.id.get_type()
    if kind.get_class() == h5py.h5t.STRING:
        return not kind.is_variable_str()
    return kind.get_class() in _PLAIN


def _describe_type(dataset: h5py.Dataset) -> str:
    try:
        return str(dataset.dtype)
    except TypeError:
        return "one that NumPy does not have"


def _missing(dataset: h5py.Dataset, layout: int, file_size: int) -> str | None:
    """Return what is wrong if fewer values are stored than the shape says."""
    # A single value may be left to HDF5's zero, as by the index of an empty store that
    # an earlier version wrote.
    if not dataset.shape or math.prod(dataset.shape) <= 1:
        return None
    claimed = f"has shape {list(dataset.shape)}"
    if layout == h5py.h5d.CHUNKED:
        grid = zip(dataset.shape, dataset.chunks or (), strict=True)
        wanted = math.prod(-(-size // step) for size, step in grid)
        present = dataset.id.get_num_chunks() if wanted else 0
        if present != wanted:
            return f"{claimed}, but {present} of {wanted} chunks"
        return None
    num_bytes = math.prod(dataset.shape) * dataset.id.get_type().get_size()
    if dataset.id.get_storage_size() < num_bytes:  # a text is longer than its place
        return f"{claimed}, but {dataset.id.get_storage_size()} of {num_bytes} bytes"
    if layout == h5py.h5d.CONTIGUOUS and num_bytes:
        start = dataset.id.get_offset()
        if start is None or start + num_bytes > file_size:
            return f"{claimed}, which ends behind the end of the file"
    return None
