# SPDX-License-Identifier: Apache-2.0
"""Vectors of a corpus on disk: one ragged array and its words in one HDF5 file.

    vectors       [rows, D]        float32, float16, or bfloat16 as uint16 bit patterns
    offsets       [sentences + 1]  int64: sentence i owns rows offsets[i]:offsets[i + 1]
    words         [bytes]          uint8: every row's text, UTF-8, end to end
    word_offsets  [rows + 1]       int64: row r owns bytes word_offsets[r] to [r + 1]

A sentence may own no row, as a blank line does. In a store of sentence vectors every
sentence owns one row, whose word is the whole sentence. The file's attributes are
`format`, `dtype` and `metadata`, a JSON object.

`StoreWriter` survives being killed at any moment. It appends to four raw files in the
folder `path + ".partial"` and, at every commit, replaces a small journal there that
says how much of them counts; resuming cuts off what the journal does not know. Only
when everything is written is the HDF5 file built in that folder and renamed to `path`.
docs/decisions/store.md compares the alternatives. POSIX only: the lock is `flock`.
"""

import errno
import fcntl
import json
import operator
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, SupportsIndex, overload

import h5py
import ml_dtypes
import numpy as np
from jaxtyping import Float, Int

_FORMAT = 1
_DTYPES = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
# HDF5 knows no bfloat16: its bit patterns are stored.
_STORED_DTYPES = _DTYPES | {"bfloat16": np.dtype("<u2")}
_OFFSET = np.dtype("<i8")
_ARRAYS = ("vectors", "offsets", "words", "word_offsets")

_BLOCK_BYTES = 8 << 20
_CHUNK_BYTES = 256 << 10
# A sequential reader of a compressed store must not unpack a chunk once per sentence.
_CHUNK_CACHE_BYTES = 16 << 20


@dataclass(frozen=True)
class _Journal:
    """What a partial store is, and how much of its raw files is committed."""

    dim: int
    dtype: str
    metadata: dict[str, Any]
    num_sentences: int = 0
    num_rows: int = 0
    num_bytes: int = 0

    def shape_of(self, array: str) -> tuple[int, ...]:
        return {
            "vectors": (self.num_rows, self.dim),
            "offsets": (self.num_sentences + 1,),
            "words": (self.num_bytes,),
            "word_offsets": (self.num_rows + 1,),
        }[array]

    def dtype_of(self, array: str) -> np.dtype:
        return {
            "vectors": _STORED_DTYPES[self.dtype],
            "words": np.dtype(np.uint8),
        }.get(array, _OFFSET)

    def size_of(self, array: str) -> int:
        """Bytes of the raw file."""
        count = int(np.prod(self.shape_of(array), dtype=np.int64))
        return count * self.dtype_of(array).itemsize

    def identity(self) -> dict[str, str]:
        """What must not change between two runs, each value as JSON."""
        values = {"dim": self.dim, "dtype": self.dtype} | {
            f"metadata[{key!r}]": value for key, value in self.metadata.items()
        }
        return {key: json.dumps(value, sort_keys=True) for key, value in values.items()}


class StoreWriter:
    """Appends sentences to a store; `path` appears only when all are written.

    Leaving the `with` block normally finishes the store, leaving it by an exception
    keeps what was appended for a run with `resume=True`. That run must append the
    same corpus from sentence `num_sentences` on. Where `path` is complete already, it
    is told so by `FileExistsError`, which `resume=True` raises for no other reason.

    While the store is being finished, the disk holds its vectors twice.

    Args:
      path: where the finished store goes; its folder must exist.
      dim: width of the vectors.
      dtype: float32, float16 or bfloat16; what is appended is cast to it.
      metadata: what the vectors are (model, layers, corpus); must survive JSON.
      resume: go on with the partial store of an earlier run, or start where none is.
      overwrite: replace a finished store, which stays readable until then, and throw
        away a partial one, unless `resume` wants to go on with it.
      compression: of the vectors; gzip saves about 14 % of float32 and lzf 6 %, at a
        tenth of the reading speed of None. lzf is read by h5py only.
      commit_bytes: appended bytes that may be lost to a kill, at most.
      commit_seconds: time after which an append commits, however little there is.

    Raises:
      FileExistsError: `path` is there, or a partial store and no `resume`.
      BlockingIOError: another writer is at work on this store.
      ValueError: the partial or finished store has another dim, dtype or metadata, or
        is damaged; or an argument is invalid.
      TypeError: the metadata is no JSON.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp()) / "vectors.h5"
      >>> with StoreWriter(path, dim=2) as writer:
      ...     writer.append(np.eye(2, dtype=np.float32), ["two", "words"])
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
        self.path = Path(path)
        self._partial = _partial_of(self.path)
        self._compression = compression
        self._commit_bytes = commit_bytes
        self._commit_seconds = commit_seconds
        self._files: dict[str, IO[bytes]] = {}
        # True while the raw files may hold part of a sentence.
        self._torn = False
        new = _Journal(operator.index(dim), dtype, _parse_metadata(metadata))
        _check_arguments(new, compression)
        self._lock = _lock(self._partial)
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
        """Sentences safely stored, which a resumed run must not append again."""
        return self._committed.num_sentences

    def append(self, vectors: Float[np.ndarray, "W D"], words: Sequence[str]) -> None:
        """Append one sentence, which may have no words.

        Args:
          vectors: one row per word; any float dtype, cast to the store's.
          words: any text, lone surrogates and empty strings included.

        Raises:
          ValueError: shapes do not fit, or a finite value overflows float16; nothing
            was appended.
          OSError: the disk is full or fails; only `resume` goes on from here.
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

        self._torn = True
        with self._explained_errors():
            self._files["vectors"].write(rows)
            self._files["words"].write(b"".join(texts))
            self._files["word_offsets"].write(ends.astype(_OFFSET).tobytes())
            self._files["offsets"].write(np.array(grown.num_rows, _OFFSET).tobytes())
            self._appended = grown
            if self._is_commit_due():
                self._commit()
        self._torn = False

    def finish(self) -> None:
        """Build the HDF5 file, rename it to `path` and remove the partial store.

        Raises:
          OSError: the disk is full or fails; the partial store can still be resumed.
          RuntimeError: the writer is closed, or an append failed.
        """
        try:
            self._check_whole()
            with self._explained_errors():
                self._commit()
                self._publish()
            _remove_partial(self._partial)
        finally:
            self._release()

    def close(self) -> None:
        """Commit what was appended and stop; a run with `resume=True` can go on.

        Raises:
          OSError: the disk is full or fails; the last commit before still counts.
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
        self, new: _Journal, *, resume: bool, overwrite: bool
    ) -> _Journal | None:
        """The journal to go on from, None to start afresh, or why neither may be."""
        if self.path.exists() and not overwrite:
            if not (self._partial / "journal.json").exists():
                _remove_partial(self._partial)
            raise _complete_error(self.path, new if resume else None)
        if overwrite and not resume:
            return None
        held = _read_journal(self._partial)
        if held is None or not held.num_sentences:
            # Nothing to lose: the run before failed at once, on a wrong option perhaps.
            return None
        if not resume:
            raise FileExistsError(
                f"{self._partial} holds {held.num_sentences} sentences of an "
                "unfinished run: resume (--resume) goes on with them, overwrite "
                "(--overwrite) throws them away"
            )
        _check_same(self._partial, held, new)
        return held

    def _create_files(self) -> None:
        _clear_partial(self._partial)
        for array in _ARRAYS:
            # Closed by _release, at the latest with the writer.
            self._files[array] = (self._partial / array).open("wb", 1 << 20)
        for array in ("offsets", "word_offsets"):
            self._files[array].write(np.array(0, _OFFSET).tobytes())
        self._commit()

    def _reopen_files(self) -> None:
        """Cut the raw files to what the journal vouches for, and append from there."""
        for array in _ARRAYS:
            raw = self._partial / array
            size = self._committed.size_of(array)
            # Truncating a shorter file would lengthen it, by zeros.
            if not raw.exists() or raw.stat().st_size < size:
                raise ValueError(
                    f"{raw} lacks data that its journal lists: the partial store is "
                    "damaged, overwrite=True starts over"
                )
            os.truncate(raw, size)
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
                return vectors.astype(_DTYPES[self._appended.dtype], copy=False)
        except FloatingPointError:
            raise ValueError(
                f"a value of {np.abs(vectors).max():g} overflows "
                f"{self._appended.dtype}: store bfloat16 or float32"
            ) from None

    def _is_commit_due(self) -> bool:
        pending = sum(
            self._appended.size_of(array) - self._committed.size_of(array)
            for array in _ARRAYS
        )
        elapsed = time.monotonic() - self._last_commit
        return pending >= self._commit_bytes or elapsed >= self._commit_seconds

    def _commit(self) -> None:
        """Make all that was appended count, by way of one atomic rename."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        _write_journal(self._partial, self._appended)
        self._committed = self._appended
        self._last_commit = time.monotonic()

    def _publish(self) -> None:
        finished = self._partial / "finished.h5"
        try:
            _build_file(self._partial, finished, self._committed, self._compression)
            _sync(finished)
            finished.replace(self.path)
        except BaseException:
            # Where the disk is full, this is what fills it.
            finished.unlink(missing_ok=True)
            raise
        _sync(self.path.parent)

    def _release(self) -> None:
        for file in self._files.values():
            # What is still buffered was not committed: losing it is no news.
            with suppress(OSError):
                file.close()
        self._files = {}
        self._lock.close()

    @contextmanager
    def _explained_errors(self) -> Iterator[None]:
        """Say what a full disk leaves behind."""
        try:
            yield
        except OSError as error:
            raise OSError(
                error.errno or errno.EIO,
                f"could not write {self._partial} ({error.strerror or error}); its "
                f"first {self.num_sentences} sentences are safe: make room and run "
                "again with resume=True",
            ) from error


class VectorStore:
    """Reads a finished store; only offsets are held in memory.

    `store[i]` is the [words, D] array of sentence i and `store[a:b]` a list of them,
    as in a list of arrays; iterating reads ahead in blocks.

    Attributes:
      path: the file.
      metadata: what the writer was given.
      dtype: of the arrays returned, bfloat16 included.
      dim: width of the vectors.
      offsets: int64, the row where each sentence begins, and the number of rows.

    Raises:
      FileNotFoundError: there is no such file, or only a partial store.
      ValueError: the file is truncated, no store, or of another format version.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._file = _open_file(self.path)
        try:
            _check_header(self.path, self._file)
            self._arrays = _checked_arrays(self.path, self._file)
            self.metadata: dict[str, Any] = json.loads(
                _attribute(self._file, "metadata")
            )
            self.dtype = _DTYPES[_attribute(self._file, "dtype")]
            self.dim: int = self.vectors.shape[1]
            self.offsets: Int[np.ndarray, " boundaries"] = self._arrays["offsets"][:]
        except BaseException:
            self._file.close()
            raise

    @property
    def vectors(self) -> h5py.Dataset:
        """All rows as HDF5 holds them, unread; bfloat16 as uint16 bit patterns."""
        return self._arrays["vectors"]

    def read_rows(self, start: int, stop: int) -> Float[np.ndarray, "W D"]:
        """Read rows `start` to `stop` of all sentences' rows, laid end to end."""
        return self.vectors[start:stop].view(self.dtype)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: SupportsIndex) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(
        self, index: SupportsIndex | slice
    ) -> np.ndarray | list[np.ndarray]:
        if not isinstance(index, slice):
            return self.read_rows(*self._rows_of(index))
        indices = range(len(self))[index]
        if len(indices) == 0 or indices.step != 1:
            return [self[i] for i in indices]
        bounds = self.offsets[indices.start : indices.stop + 1]
        rows = self.read_rows(int(bounds[0]), int(bounds[-1]))
        return np.split(rows, bounds[1:-1] - bounds[0])

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks():
            for vectors in self[block]:
                # A caller who keeps one sentence must not keep its whole block.
                yield vectors.copy()

    @overload
    def words(self, index: SupportsIndex) -> list[str]: ...
    @overload
    def words(self, index: slice) -> list[list[str]]: ...
    def words(self, index: SupportsIndex | slice) -> list[str] | list[list[str]]:
        """Read the words of a sentence, or of each sentence of a slice.

        Raises:
          IndexError: there is no such sentence.
        """
        if not isinstance(index, slice):
            return self._read_texts(*self._rows_of(index))
        indices = range(len(self))[index]
        if len(indices) == 0 or indices.step != 1:
            return [self.words(i) for i in indices]
        bounds = self.offsets[indices.start : indices.stop + 1].tolist()
        texts = self._read_texts(bounds[0], bounds[-1])
        return [
            texts[start - bounds[0] : stop - bounds[0]]
            for start, stop in pairwise(bounds)
        ]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "VectorStore":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _rows_of(self, index: SupportsIndex) -> tuple[int, int]:
        try:
            sentence = range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(
                f"sentence {index} of the {len(self)} in {self.path}"
            ) from None
        return int(self.offsets[sentence]), int(self.offsets[sentence + 1])

    def _read_texts(self, start: int, stop: int) -> list[str]:
        bounds = self._arrays["word_offsets"][start : stop + 1]
        text = self._arrays["words"][bounds[0] : bounds[-1]].tobytes()
        ends = (bounds - bounds[0]).tolist()
        return [
            text[first:last].decode("utf-8", "surrogatepass")
            for first, last in pairwise(ends)
        ]

    def _blocks(self) -> Iterator[slice]:
        """Consecutive runs of sentences, each read at once."""
        block_rows = _BLOCK_BYTES // (self.dim * self.dtype.itemsize)
        first = 0
        while first < len(self):
            limit = self.offsets[first] + block_rows
            fitting = int(np.searchsorted(self.offsets, limit, side="right")) - 1
            last = max(fitting, first + 1)
            yield slice(first, last)
            first = last


def _partial_of(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _parse_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """What reading the metadata back will give: a tuple becomes a list."""
    return json.loads(json.dumps(dict(metadata or {}), allow_nan=False))


def _check_arguments(new: _Journal, compression: str | None) -> None:
    if new.dtype not in _DTYPES:
        raise ValueError(f"dtype {new.dtype!r} is none of {', '.join(_DTYPES)}")
    if new.dim < 1:
        raise ValueError(f"dim is {new.dim}: vectors have at least one dimension")
    if compression not in (None, "gzip", "lzf"):
        raise ValueError(f"compression {compression!r} is none of None, gzip, lzf")


def _lock(partial: Path) -> IO[bytes]:
    """Create the folder and lock it against other writers until the file is closed."""
    while True:
        partial.mkdir(exist_ok=True)
        # A finishing writer may remove the folder, or the lock, in between.
        with suppress(FileNotFoundError), ExitStack() as on_failure:
            lock = partial / "lock"
            file = on_failure.enter_context(lock.open("ab"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(
                    error.errno, f"another writer is at work on {partial}"
                ) from None
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                on_failure.pop_all()
                return file


def _clear_partial(partial: Path) -> None:
    # Without its journal the rest is worthless, so that goes first.
    for name in ("journal.json", "journal.new", "finished.h5", *_ARRAYS):
        (partial / name).unlink(missing_ok=True)


def _remove_partial(partial: Path) -> None:
    """Remove the folder of a writer that holds its lock."""
    _clear_partial(partial)
    (partial / "lock").unlink(missing_ok=True)
    # The next writer may have come as soon as the lock was gone.
    with suppress(OSError):
        partial.rmdir()


def _write_journal(partial: Path, journal: _Journal) -> None:
    new = partial / "journal.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump({"format": _FORMAT} | asdict(journal), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(partial / "journal.json")
    _sync(partial)


def _read_journal(partial: Path) -> _Journal | None:
    """The last commit, or None where there never was one."""
    try:
        text = (partial / "journal.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        fields = json.loads(text)
        if fields.pop("format") == _FORMAT:
            return _Journal(**fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ValueError(
        f"{partial} is no partial store of format {_FORMAT}: "
        "resume with the version that began it, or start over with overwrite=True"
    )


def _check_same(path: Path, held: _Journal, new: _Journal) -> None:
    before, now = held.identity(), new.identity()
    for key in before | now:
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{path} was written with {key} = {before.get(key, 'absent')}, this "
                f"run has {now.get(key, 'absent')}: make them agree, or start over "
                "with overwrite=True"
            )


def _complete_error(path: Path, resumed: _Journal | None) -> FileExistsError:
    """The error for a finished store; ValueError if it is not what a resume meant."""
    if resumed is None:
        return FileExistsError(f"{path} exists: overwrite=True replaces it")
    with VectorStore(path) as store:
        dtype = store.dtype.name
        _check_same(path, _Journal(store.dim, dtype, store.metadata), resumed)
        message = f"{path} is already complete, with {len(store)} sentences"
    if _partial_of(path).exists():
        # Of a run with overwrite=True, or of one killed as it was tidying up.
        message += f", and can do without {_partial_of(path)}"
    return FileExistsError(f"{message}: overwrite=True writes it anew")


def _build_file(
    partial: Path, target: Path, journal: _Journal, compression: str | None
) -> None:
    """Write the HDF5 file from the raw ones, a block at a time."""
    target.write_bytes(_format_header(journal))
    _reserve_room(target, sum(map(journal.size_of, _ARRAYS)))
    with h5py.File(target, "r+") as file:
        for array in _ARRAYS:
            shape, dtype = journal.shape_of(array), journal.dtype_of(array)
            # Text and offsets are a few per cent of a store and shrink well.
            chosen = compression if array == "vectors" else "gzip"
            dataset = file.create_dataset(
                array, shape, dtype, **_filter_options(shape, dtype, chosen)
            )
            _fill_dataset(dataset, partial / array)


def _format_header(journal: _Journal) -> bytes:
    """An HDF5 file that has no arrays yet."""
    with h5py.File("unnamed", "w", driver="core", backing_store=False) as file:
        file.attrs["format"] = _FORMAT
        file.attrs["dtype"] = journal.dtype
        file.attrs["metadata"] = json.dumps(journal.metadata)
        file.flush()
        return file.id.get_file_image()


def _reserve_room(target: Path, size: int) -> None:
    """Lengthen an HDF5 file, as far as it could grow; closing it cuts off the rest.

    HDF5 cannot close a file that it cannot write to: were the disk to fill up while it
    writes, h5py would print errors that nobody can catch and then crash the process.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    # For chunk indices and for what does not compress.
    margin = (1 << 20) + size // 128
    with target.open("r+b") as file:
        os.posix_fallocate(file.fileno(), target.stat().st_size, size + margin)


def _filter_options(
    shape: tuple[int, ...], dtype: np.dtype, compression: str | None
) -> dict[str, Any]:
    # HDF5 refuses chunks larger than the array, hence any chunk of an empty one.
    if compression is None or shape[0] == 0:
        return {}
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    chunk_rows = min(shape[0], max(1, _CHUNK_BYTES // row_bytes))
    return {
        "chunks": (chunk_rows, *shape[1:]),
        "shuffle": True,
        "compression": compression,
        "compression_opts": 1 if compression == "gzip" else None,
    }


def _fill_dataset(dataset: h5py.Dataset, raw: Path) -> None:
    row_shape = dataset.shape[1:]
    width = int(np.prod(row_shape, dtype=np.int64))
    # Whole chunks, so that each is compressed once.
    step = dataset.chunks[0] if dataset.chunks else 1
    step *= max(1, _BLOCK_BYTES // (step * width * dataset.dtype.itemsize))
    with raw.open("rb") as file:
        for start in range(0, dataset.shape[0], step):
            stop = min(start + step, dataset.shape[0])
            block = np.fromfile(file, dataset.dtype, (stop - start) * width)
            dataset[start:stop] = block.reshape(stop - start, *row_shape)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_file(path: Path) -> h5py.File:
    if not path.exists() and (held := _read_journal(_partial_of(path))) is not None:
        raise FileNotFoundError(
            f"{path} is not finished: {_partial_of(path)} holds its first "
            f"{held.num_sentences} sentences, write the rest with resume=True"
        )
    try:
        # A finished store never changes in place, and not every file system can lock.
        return h5py.File(path, "r", locking=False, rdcc_nbytes=_CHUNK_CACHE_BYTES)
    except OSError as error:
        # What the system refuses carries an errno, what HDF5 cannot read does not.
        if error.errno is not None:
            raise
        raise ValueError(
            f"{path} is truncated or no HDF5 file: copy or write it again ({error})"
        ) from error


def _check_header(path: Path, file: h5py.File) -> None:
    if not {"format", "dtype", "metadata"} <= set(file.attrs):
        raise ValueError(
            f"{path} is an HDF5 file but no vector store: write one with StoreWriter"
        )
    version = _attribute(file, "format")
    if version != _FORMAT:
        raise ValueError(
            f"{path} has format {version}, this version reads {_FORMAT}: read it with "
            "the version that wrote it, or write it again"
        )


def _attribute(file: h5py.File, name: str) -> Any:
    # h5py gives its attributes no type.
    return file.attrs[name]


def _checked_arrays(path: Path, file: h5py.File) -> dict[str, h5py.Dataset]:
    """The four arrays of a file that has them all and in which they fit each other."""
    arrays = {
        name: array
        for name in _ARRAYS
        if isinstance(array := file.get(name), h5py.Dataset)
    }
    if len(arrays) < len(_ARRAYS) or not _fit_each_other(
        _attribute(file, "dtype"), **arrays
    ):
        raise ValueError(f"{path} is damaged: copy or write it again")
    return arrays


def _fit_each_other(
    dtype: str,
    vectors: h5py.Dataset,
    offsets: h5py.Dataset,
    words: h5py.Dataset,
    word_offsets: h5py.Dataset,
) -> bool:
    return (
        vectors.dtype == _STORED_DTYPES.get(dtype)
        and len(vectors.shape) == 2
        and word_offsets.shape == (vectors.shape[0] + 1,)
        and offsets.shape[0] >= 1
        and int(offsets[-1]) == vectors.shape[0]
        and int(word_offsets[-1]) == words.shape[0]
    )
