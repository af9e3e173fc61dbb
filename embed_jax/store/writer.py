# SPDX-License-Identifier: Apache-2.0
"""Writing of a store, safe against a kill at any moment.

The writer appends to four raw files in the folder `path + ".partial"`. Every commit
replaces a small journal there with the committed sizes; resuming truncates the files to
them. When everything is written, the HDF5 file is built in that folder and renamed to
`path`. docs/decisions/store.md compares the alternatives. POSIX only: the lock is
`flock`.
"""

import errno
import operator
import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import numpy as np
from jaxtyping import Float

from embed_jax.files.local_path import local_path
from embed_jax.files.output_file import check_output, meant_by
from embed_jax.files.sync import put_in_place
from embed_jax.store.build import build_file
from embed_jax.store.checked import open_store
from embed_jax.store.journal import (
    Journal,
    check_same,
    parse_metadata,
    read_journal,
    write_journal,
)
from embed_jax.store.kind import STORE
from embed_jax.store.layout import ARRAYS, BOUNDARIES, DTYPES, OFFSET
from embed_jax.store.partial import (
    check_partial,
    clear_partial,
    lock_folder,
    partial_of,
    remove_partial,
)
from embed_jax.store.raw import check_raw


class StoreWriter:
    """Appends sentences to a store; `path` appears only when all are written.

    Leaving the `with` block normally finishes the store, leaving it by an exception
    keeps what was appended for a run with `resume=True`. That run must append the
    same corpus from sentence `num_sentences` on. If `path` is already complete, it gets
    a `FileExistsError`, which `resume=True` raises for no other reason.

    While the store is being finished, its vectors are on the disk twice.

    Args:
      path: the finished store, or a symbolic link to it; its folder must exist.
      dim: width of the vectors.
      dtype: float32, float16 or bfloat16; what is appended is cast to it.
      metadata: description of the vectors (model, layers, corpus); must be serialisable
        as JSON.
      resume: continue the partial store of an earlier run, or start if there is none.
      overwrite: replace a finished store, which stays readable until then, and delete a
        partial one, unless `resume` continues it.
      compression: of the vectors; gzip saves about 14 % of float32 and lzf 6 %, at a
        tenth of the reading speed of None. lzf is read by h5py only.
      commit_bytes: maximal bytes appended between commits, which a kill may lose.
      commit_seconds: time after which an append commits in any case.

    Raises:
      FileExistsError: `path` exists, and `overwrite` is False or it is no store; or a
        partial store does and `resume` is False; or its folder has files of other
        origin.
      BlockingIOError: another writer is writing this store.
      ValueError: the partial or finished store has another dim, dtype or metadata, or
        is damaged; or an argument is invalid.
      TypeError: the metadata cannot be serialised as JSON.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "vectors.h5"
      >>> with StoreWriter(path, dim=2) as writer:
      ...     writer.append(np.eye(2, dtype=np.float32), ["two", "words"])
      >>> from embed_jax.store import VectorStore
      >>> with VectorStore(path) as store:
      ...     store.words(0), store[0].shape
      (['two', 'words'], (2, 2))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dim: int,
        dtype: str = "float32",
        metadata: Mapping[str, Any] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        compression: Literal["gzip", "lzf"] | None = "gzip",
        commit_bytes: int = 64 << 20,
        commit_seconds: float = 5.0,
    ):
        self.path = meant_by(local_path(path))
        if overwrite and self.path.exists():
            check_output(self.path, replace=True, kind=STORE)
        self._overwrite = overwrite
        self._partial = partial_of(self.path)
        self._compression = compression
        self._commit_bytes = commit_bytes
        self._commit_seconds = commit_seconds
        self._files: dict[str, IO[bytes]] = {}
        # True while the raw files may hold part of a sentence.
        self._torn = False
        new = Journal(operator.index(dim), dtype, parse_metadata(metadata))
        _check_arguments(new, compression)
        check_partial(self._partial)
        self._lock = lock_folder(self._partial)
        try:
            held = self._find_partial(new, resume=resume, overwrite=overwrite)
            self._appended = self._committed = new if held is None else held
            with self._explained_errors():
                self._create_files() if held is None else self._reopen_files()
        except BaseException:
            self._release()
            raise

    @property
    def num_sentences(self) -> int:
        """Number of committed sentences; a resumed run must not append them again."""
        return self._committed.num_sentences

    def append(self, vectors: Float[np.ndarray, "W D"], words: Sequence[str]) -> None:
        """Append one sentence, which may have no words.

        Args:
          vectors: one row per word; any float dtype, cast to the store's.
          words: any text, lone surrogates and empty strings included.

        Raises:
          ValueError: shapes do not fit, or a finite value overflows float16; nothing
            was appended.
          OSError: the disk is full or fails; only a run with `resume` can continue.
          RuntimeError: the writer is closed, or an earlier append failed.
        """
        self._check_appendable(vectors, words)
        rows = self._cast(vectors).tobytes()
        texts = [word.encode("utf-8", "surrogatepass") for word in words]
        grown = replace(
            self._appended,
            num_sentences=self._appended.num_sentences + 1,
            num_rows=self._appended.num_rows + len(texts),
            num_bytes=self._appended.num_bytes + sum(map(len, texts)),
        )
        ends = self._appended.num_bytes + np.cumsum([len(text) for text in texts])
        added = {
            "vectors": rows,
            "words": b"".join(texts),
            "word_offsets": ends.astype(OFFSET).tobytes(),
            "offsets": np.array(grown.num_rows, OFFSET).tobytes(),
        }

        self._torn = True
        with self._explained_errors():
            self._appended = replace(grown, checksums=self._write(added))
            if self._is_commit_due():
                self._commit()
        self._torn = False

    def finish(self) -> None:
        """Build the HDF5 file, rename it to `path` and remove the partial store.

        Raises:
          FileExistsError: `path` has come meanwhile; the partial store can be resumed.
          OSError: the disk is full or fails; the partial store can still be resumed.
          RuntimeError: the writer is closed, or an append failed.
        """
        try:
            self._check_whole()
            with self._explained_errors():
                self._commit()
            if self.path.exists() and not self._overwrite:
                raise FileExistsError(
                    f"{self.path} has come meanwhile: move it, and pass resume=True"
                )
            with self._explained_errors():
                self._publish()
            remove_partial(self._partial)
        finally:
            self._release()

    def close(self) -> None:
        """Commit what was appended and close; a run with `resume=True` can continue.

        Raises:
          OSError: the disk is full or fails; the previous commit is still valid.
        """
        try:
            if self._files and not self._torn:
                with self._explained_errors():
                    self._commit()
        finally:
            self._release()

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            if self._files:
                self.finish()
            return
        try:
            self.close()
        except OSError as error:
            exc.add_note(str(error))

    def _find_partial(
        self, new: Journal, *, resume: bool, overwrite: bool
    ) -> Journal | None:
        """Return the journal to resume from, or None to start; raise if refused."""
        if self.path.exists() and not overwrite:
            if not (self._partial / "journal.json").exists():
                remove_partial(self._partial)
            raise _complete_error(self.path, new if resume else None)
        if overwrite and not resume:
            return None
        held = read_journal(self._partial)
        if held is None or not held.num_sentences:
            # Nothing to lose: the run before failed at once, on a wrong option perhaps.
            return None
        if not resume:
            raise FileExistsError(
                f"{self._partial} holds {held.num_sentences} sentences of an "
                "unfinished run: resume=True goes on with them, overwrite=True "
                "throws them away"
            )
        check_same(self._partial, held, new)
        return held

    def _create_files(self) -> None:
        clear_partial(self._partial)
        for array in ARRAYS:
            # Closed by _release, at the latest with the writer.
            self._files[array] = (self._partial / array).open("wb", 1 << 20)
        first = np.array(0, OFFSET).tobytes()
        checksums = self._write(
            {array: first if array in BOUNDARIES else b"" for array in ARRAYS}
        )
        self._appended = replace(self._appended, checksums=checksums)
        self._commit()

    def _write(self, added: Mapping[str, bytes]) -> dict[str, int]:
        """Append to the raw files; return the checksums of all that is in them."""
        held = self._appended.checksums
        checksums = {}
        for array, content in added.items():
            self._files[array].write(content)
            checksums[array] = zlib.crc32(content, held.get(array, 0))
        return checksums

    def _reopen_files(self) -> None:
        """Truncate the raw files to their committed sizes, and open them to append."""
        checksums = check_raw(self._partial, self._committed)
        # Those of a journal of an earlier version, which kept none, are taken now.
        self._appended = self._committed = replace(self._committed, checksums=checksums)
        for array in ARRAYS:
            raw = self._partial / array
            os.truncate(raw, self._committed.size_of(array))
            self._files[array] = raw.open("ab", 1 << 20)
        self._last_commit = time.monotonic()

    def _check_appendable(self, vectors: np.ndarray, words: Sequence[str]) -> None:
        self._check_whole()
        if isinstance(words, str):
            raise ValueError("words must be a list of strings, not one string")
        if vectors.shape != (len(words), self._appended.dim):
            raise ValueError(
                f"{len(words)} words of a store of width {self._appended.dim} cannot "
                f"have vectors of shape {vectors.shape}"
            )

    def _check_whole(self) -> None:
        if not self._files:
            raise RuntimeError(f"the writer of {self.path} is closed")
        if self._torn:
            raise RuntimeError(
                f"an append to {self._partial} failed halfway: go on with a new "
                "StoreWriter and resume=True"
            )

    def _cast(self, vectors: np.ndarray) -> np.ndarray:
        try:
            with np.errstate(over="raise"):
                return vectors.astype(DTYPES[self._appended.dtype], copy=False)
        except FloatingPointError:
            raise ValueError(
                f"a value of {np.abs(vectors).max():g} overflows "
                f"{self._appended.dtype}: store bfloat16 or float32"
            ) from None

    def _is_commit_due(self) -> bool:
        pending = sum(
            self._appended.size_of(array) - self._committed.size_of(array)
            for array in ARRAYS
        )
        elapsed = time.monotonic() - self._last_commit
        return pending >= self._commit_bytes or elapsed >= self._commit_seconds

    def _commit(self) -> None:
        """Commit all that was appended, by one atomic rename of the journal."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        write_journal(self._partial, self._appended)
        self._committed = self._appended
        self._last_commit = time.monotonic()

    def _publish(self) -> None:
        # Not `open_output`: after a kill the next run must know what to remove, and
        # HDF5 writes to paths only.
        finished = self._partial / "finished.h5"
        try:
            build_file(self._partial, finished, self._committed, self._compression)
            put_in_place(finished, self.path)
        except BaseException:
            # Where the disk is full, this is what fills it.
            finished.unlink(missing_ok=True)
            raise

    def _release(self) -> None:
        for file in self._files.values():
            # What is still buffered was not committed: losing it is no news.
            with suppress(OSError):
                file.close()
        self._files = {}
        self._lock.close()

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        """Add to errors of a full disk what is left and how to continue."""
        try:
            yield
        except OSError as error:
            raise OSError(
                error.errno or errno.EIO,
                f"could not write {self._partial} ({error.strerror or error}); its "
                f"first {self.num_sentences} sentences are safe: make room and run "
                "again with resume=True",
            ) from error


def _check_arguments(new: Journal, compression: str | None) -> None:
    if new.dtype not in DTYPES:
        raise ValueError(f"dtype {new.dtype!r} is none of {', '.join(DTYPES)}")
    if new.dim < 1:
        raise ValueError(f"dim is {new.dim}: vectors have at least one dimension")
    if compression not in (None, "gzip", "lzf"):
        raise ValueError(f"compression {compression!r} is none of None, gzip, lzf")


def _complete_error(path: Path, resumed: Journal | None) -> FileExistsError:
    """Return the error for a finished store; raise ValueError if settings differ."""
    if resumed is None:
        return FileExistsError(f"{path} exists: overwrite=True replaces it")
    with open_store(path) as finished:
        held = finished.contents
    check_same(path, held, resumed)
    message = f"{path} is already complete, with {held.num_sentences} sentences"
    if partial_of(path).exists():
        # Of a run with overwrite=True, or of one killed as it was tidying up.
        message += f", and can do without {partial_of(path)}"
    return FileExistsError(f"{message}: overwrite=True writes it anew")
