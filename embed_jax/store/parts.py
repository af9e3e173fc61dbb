# SPDX-License-Identifier: Apache-2.0
"""A store that several processes write in parts, without communication.

    vectors.h5                                the index, written by the last to finish
    vectors.h5.parts/1f3a9c0b-0-of-4.h5       a part, written by a StoreWriter
    vectors.h5.parts/1f3a9c0b-1-of-4.h5.partial/   an unfinished part

The eight digits are a checksum of the settings of the vectors, so parts of different
settings have different names: a finished store stays readable until the index of the
next one replaces it. A store in one part is a single file, without folder or index.
"""

import os
import re
import socket
import zlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py

from embed_jax.files.claim import Claim
from embed_jax.files.json_file import json_text
from embed_jax.files.local_path import local_path
from embed_jax.files.output_file import check_output, meant_by
from embed_jax.files.sync import put_in_place
from embed_jax.store.checked import open_store, whole_of
from embed_jax.store.index import write_index
from embed_jax.store.journal import Journal, check_same, parse_metadata, read_journal
from embed_jax.store.kind import STORE
from embed_jax.store.listed import ListedPart, listed_parts
from embed_jax.store.partial import (
    lock_folder,
    partial_of,
    parts_of,
    remove_left,
    remove_locked,
    remove_partial,
)
from embed_jax.store.writer import StoreWriter

_NAME = re.compile(r"([0-9a-f]{8})-(\d+)-of-(\d+)\.h5")
_PARTIAL = ".partial"
_NEW = ".index.new"


class _Name(NamedTuple):
    """The parsed file name of a part: checksum, index, and number of parts."""

    checksum: str
    part: int
    num_parts: int

    def __str__(self) -> str:
        return f"{self.checksum}-{self.part}-of-{self.num_parts}.h5"


class PartedStore:
    """One store written in `count` parts, by as many processes or fewer.

    The first run sets the number of parts. A run that resumes keeps it, whatever the
    number of its own processes.

    Args:
      path: the index file; the parts are in the folder `path + ".parts"`.
      count: number of parts of a new store.
      dim: width of the vectors.
      dtype: as for StoreWriter.
      metadata: as for StoreWriter; the same for all processes.
      resume: continue the parts of an earlier run, or start if there are none.
      overwrite: replace a finished store, and delete unfinished parts of other settings
        or another number, unless `resume` continues them.
      compression: as for StoreWriter.

    Attributes:
      path: the index file.
      count: number of parts.
      is_finished: whether the store is already finished, for a run that resumes.

    Raises:
      FileExistsError: `path` exists, or parts of another run, and `resume` is False.
      BlockingIOError: another run is writing parts that would be deleted.
      ValueError: the existing store has another dim, dtype or metadata, or is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        count: int,
        dim: int,
        dtype: str = "float32",
        metadata: Mapping[str, Any] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        compression: Literal["gzip", "lzf"] | None = "gzip",
    ):
        self.path = meant_by(local_path(path))
        if overwrite and self.path.exists():
            check_output(self.path, replace=True, kind=STORE)
        self.count = count
        self.is_finished = False
        self._folder = parts_of(self.path)
        self._whole = Journal(dim, dtype, parse_metadata(metadata))
        text = json_text(self._whole.identity(), sort_keys=True)
        self._checksum = f"{zlib.crc32(text.encode()):08x}"
        self._resume = resume
        self._overwrite = overwrite
        self._compression: Literal["gzip", "lzf"] | None = compression
        if self.path.exists() and not overwrite:
            self._meet_finished()
        elif count > 1 or self._folder.exists():
            self._meet_unfinished()

    def label(self, index: int) -> str:
        """Return the label of a part, as in its file name: `0-of-4`."""
        return f"{index}-of-{self.count}"

    def name_of(self, index: int) -> str:
        """Return the displayed name of a part; of a single one, the store's name."""
        return str(self.path) if self.count == 1 else f"{self.path} {self.label(index)}"

    def writer(self, index: int, share: range) -> StoreWriter | None:
        """Open the writer of a part, or return None if the part is already finished.

        Args:
          index: of the part, from 0.
          share: the sentences of the part.

        Raises:
          FileExistsError: the part exists, finished or not, and `resume` is False.
          BlockingIOError: another process is writing it.
          ValueError: it was begun with other settings, or is damaged.
        """
        if self.count == 1:
            return self._open_writer(self.path, self._whole.metadata)
        path = self._path_of(index)
        metadata = self._whole.metadata | {
            "share": {"part": self.label(index), "sentences": [share.start, share.stop]}
        }
        if not path.exists() or (self._overwrite and not self._resume):
            return self._open_writer(path, metadata)
        if not self._resume:
            raise FileExistsError(
                f"{path} is complete: resume=True keeps it and writes the other "
                "parts, overwrite=True writes it anew"
            )
        with open_store(path) as part:
            held = part.contents
        check_same(path, held, replace(self._whole, metadata=metadata))
        return None

    def publish(self) -> list[int]:
        """Write the index if all parts are finished, and remove what is not needed.

        Several processes may call it, at the same time and repeatedly.

        Returns:
          The missing parts; none if the store is finished.

        Raises:
          ValueError: a part is not of this store; nothing was written.
          OSError: the disk is full or fails; the parts are safe.
        """
        if self.count == 1:
            if self._folder.exists():
                with self._lock():
                    self._tidy()
                    remove_locked(self._folder)
            return []
        with self._lock():
            # A listing sees on NFS what asking for a single name may still deny.
            present = {entry.name for entry in self._folder.iterdir()}
            missing = [
                index
                for index in range(self.count)
                if self._path_of(index).name not in present
            ]
            if not missing:
                parts = self._list_parts()
                if _listed_in(self.path) != parts:
                    self._write_index(parts)
                self._tidy()
        return missing

    def _lock(self) -> Claim:
        return lock_folder(self._folder, wait=True)

    def _path_of(self, index: int) -> Path:
        return self._folder / str(_Name(self._checksum, index, self.count))

    def _open_writer(self, path: Path, metadata: dict[str, Any]) -> StoreWriter:
        return StoreWriter(
            path,
            dim=self._whole.dim,
            dtype=self._whole.dtype,
            metadata=metadata,
            resume=self._resume,
            overwrite=self._overwrite,
            compression=self._compression,
        )

    def _meet_finished(self) -> None:
        """Refuse to replace a finished store, or accept it as the one to resume."""
        if not self._resume:
            raise FileExistsError(f"{self.path} exists: overwrite=True replaces it")
        with open_store(self.path) as finished:
            held = finished.contents
        check_same(self.path, held, self._whole)
        if self._folder.exists():
            # The run that finished it may have been killed before it had tidied up.
            with self._lock():
                self._tidy()
        remove_left(partial_of(self.path))
        self.is_finished = True

    def _meet_unfinished(self) -> None:
        """Continue an unfinished run, delete it, or refuse to mix with it."""
        # Processes come at the same time: each looks, and tidies up, alone.
        with self._lock():
            try:
                if self._overwrite and not self._resume:
                    self._discard_others()
                else:
                    self._agree_on_count()
            except BaseException:
                remove_locked(self._folder)
                raise

    def _agree_on_count(self) -> None:
        """Set the number of parts to that of an unfinished run."""
        counts = set()
        for path, name in self._unfinished().items():
            held = _contents_of(path)
            if held is None:
                continue
            if self._resume and name.checksum != self._checksum:
                check_same(path, whole_of(held), self._whole)
                # An earlier version's: they go on under its names.
                metadata = whole_of(held).metadata
                self._whole = replace(self._whole, metadata=metadata)
                self._checksum = name.checksum
            counts.add((name.checksum, name.num_parts))
        single = read_journal(partial_of(self.path))
        if single is not None and single.num_sentences:
            counts.add((self._checksum, 1))
        others = counts - {(self._checksum, self.count)}
        if not others:
            return
        numbers = " and ".join(str(count) for _, count in sorted(counts))
        if not self._resume:
            raise FileExistsError(
                f"an unfinished run wrote {self.path} in {numbers} parts: "
                "resume=True goes on with them, overwrite=True throws them away"
            )
        if len(counts) > 1:
            raise ValueError(
                f"unfinished runs wrote {self.path} in {numbers} parts, and only one "
                "can go on: start over with overwrite=True"
            )
        ((_, self.count),) = others

    def _discard_others(self) -> None:
        """Delete unfinished parts of other settings or another number of parts."""
        with ExitStack() as locks:
            discarded = {
                path: name
                for path, name in self._unfinished().items()
                if (name.checksum, name.num_parts) != (self._checksum, self.count)
            }
            partials = {partial_of(self._folder / str(n)) for n in discarded.values()}
            if self.count > 1:
                partials.add(partial_of(self.path))
            held = sorted(partial for partial in partials if partial.exists())
            # All locks first: a run of which one process is alive loses nothing.
            for partial in held:
                locks.enter_context(lock_folder(partial))
            for partial in held:
                remove_partial(partial)
            for path in discarded:
                if path not in partials:
                    path.unlink()

    def _unfinished(self) -> dict[Path, _Name]:
        """Return all parts, finished or not, that belong to no finished store."""
        kept = self._kept()
        found = {}
        for path in sorted(self._folder.iterdir()):
            match = _NAME.fullmatch(path.name.removesuffix(_PARTIAL))
            if match and path.name not in kept:
                found[path] = _Name(match[1], int(match[2]), int(match[3]))
        return found

    def _kept(self) -> set[str]:
        """Return the names of the parts of the finished store, if there is one."""
        return {Path(part.name).name for part in _listed_in(self.path)}

    def _list_parts(self) -> tuple[ListedPart, ...]:
        """Open every part; check that each begins where the previous one ends."""
        parts = []
        first = 0
        for index in range(self.count):
            path = self._path_of(index)
            with open_store(path) as part:
                held = part.contents
            share = held.metadata.get("share", {})
            end = first + held.num_sentences
            is_ours = whole_of(held).identity() == self._whole.identity()
            if not is_ours or share.get("sentences") != [first, end]:
                raise ValueError(
                    f"{path} is not the part of {self.path} that follows the one "
                    "before it: write it again with resume=True and overwrite=True"
                )
            name = f"{self._folder.name}/{path.name}"
            counts = held.num_sentences, held.num_rows, held.num_bytes
            parts.append(ListedPart(name, *counts))
            first = end
        return tuple(parts)

    def _write_index(self, parts: tuple[ListedPart, ...]) -> None:
        whole = replace(
            self._whole,
            num_sentences=sum(part.num_sentences for part in parts),
            num_rows=sum(part.num_rows for part in parts),
            num_bytes=sum(part.num_bytes for part in parts),
        )
        # Not `open_output`: after a kill the next run must know what to remove. Should
        # the file system not lock, two who write it still do not meet.
        new = self._folder / f"{socket.gethostname()}-{os.getpid()}{_NEW}"
        try:
            write_index(new, self.path.parent, whole, parts)
            put_in_place(new, self.path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise

    def _tidy(self) -> None:
        """Remove parts that do not belong to the finished store, unless in use."""
        kept, names = self._kept(), set()
        for path in self._folder.iterdir():
            if path.name.endswith(_NEW):
                path.unlink()
            elif _NAME.fullmatch(name := path.name.removesuffix(_PARTIAL)):
                names.add(name)
        for name in sorted(names):
            part = self._folder / name
            if name in kept and not partial_of(part).exists():
                continue
            with suppress(BlockingIOError), lock_folder(partial_of(part)):
                if name not in kept:
                    part.unlink(missing_ok=True)
                remove_partial(partial_of(part))


def _listed_in(path: Path) -> tuple[ListedPart, ...]:
    """Return the parts of a finished store; none if it is no index."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return listed_parts(path, file)
    except (OSError, ValueError):
        # Missing, or damaged and about to be replaced.
        return ()


def _contents_of(path: Path) -> Journal | None:
    """Return the journal of a part, finished or not; None if it has no data."""
    if not path.name.endswith(_PARTIAL):
        with open_store(path) as part:
            return part.contents
    held = read_journal(path)
    return held if held is not None and held.num_sentences else None
