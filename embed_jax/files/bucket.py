# SPDX-License-Identifier: Apache-2.0
"""Paths in a bucket of object storage, `gs://bucket/…`, where a run and a model may be.

`BucketPath` is a `pathlib.Path` whose reading, writing and listing go to the bucket
through gcsfs, so that what reads a run reads it there too. An object appears whole or
not at all; there is no appending, no renaming, no lock and no folder that is empty.
docs/decisions/buckets.md has more.
"""

import atexit
import functools
import importlib.util
import io
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath
from types import MappingProxyType
from typing import Any, NoReturn

from embed_jax.files.local_path import CONVERTED_BY, local_path
from embed_jax.messages import first_line

SCHEME = "gs://"
# `Path` keeps one slash of `gs://bucket`.
_IN_BUCKET = re.compile(r"gs:/+(.*)", re.DOTALL)
_LOGIN = "`gcloud auth application-default login` logs this user in"


def _refuse(what: str) -> Any:
    """Return a method for what disks do and buckets do not."""

    def refuse(self: Path, *given: Any, **options: Any) -> NoReturn:
        del given, options
        raise OSError(f"{self}: a bucket cannot {what}")

    return refuse


class BucketPath(PosixPath):
    """A path in a bucket, such as gs://bucket/run.

    Raises `OSError` where the bucket cannot be reached, and for what buckets cannot do.

    Example:
      >>> path = BucketPath("gs://bucket/run") / "model"
      >>> print(path, path.parent, path.name)
      gs://bucket/run/model gs://bucket/run model
    """

    def __str__(self) -> str:
        return SCHEME + "/".join(self.parts[1:])

    def __fspath__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketPath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def bucket(self) -> str:
        """The name of the bucket."""
        return self.parts[1]

    @property
    def key(self) -> str:
        """The name of the object in its bucket."""
        return "/".join(self.parts[2:])

    def is_absolute(self) -> bool:
        """Return True."""
        return True

    def absolute(self) -> "BucketPath":
        """Return the path itself."""
        return self

    def expanduser(self) -> "BucketPath":
        """Return the path itself."""
        return self

    def resolve(self, strict: bool = False) -> "BucketPath":
        """Return the path itself."""
        del strict
        return self

    def is_symlink(self) -> bool:
        """Return False."""
        return False

    def exists(self, **options: Any) -> bool:
        """Return whether there is such an object, or one below."""
        del options
        return self._information() is not None

    def is_file(self, **options: Any) -> bool:
        """Return whether there is such an object."""
        del options
        found = self._information()
        return found is not None and found["type"] == "file"

    def is_dir(self, **options: Any) -> bool:
        """Return whether there is an object below."""
        del options
        found = self._information()
        return found is not None and found["type"] == "directory"

    def stat(self, **options: Any) -> os.stat_result:
        """Return the kind and the size."""
        del options
        found = self._information()
        if found is None:
            raise FileNotFoundError(f"{self}: no such object")
        kind = stat.S_IFREG if found["type"] == "file" else stat.S_IFDIR
        return os.stat_result(
            (kind | 0o644, 0, 0, 1, 0, 0, int(found["size"]), 0, 0, 0)
        )

    def samefile(self, other_path: str | os.PathLike[str]) -> bool:
        """Return whether another path is the same object."""
        return str(self) == os.fspath(other_path)

    def iterdir(self) -> "Generator[BucketPath, None, None]":
        """Yield what lies directly below."""
        with _reached(self):
            # A listing of a moment ago would hide what another process has written.
            found = _file_system().ls(str(self), detail=True, refresh=True)
        for entry in found:
            path = type(self)(f"{SCHEME}{entry['name']}")
            if path != self:  # an object that stands for the folder itself
                yield path

    def glob(self, pattern: str, **options: Any) -> "Generator[BucketPath, None, None]":
        """Yield what matches a pattern; `**` only at its beginning."""
        del options
        first, _, rest = pattern.partition("/")
        if first == "**":
            yield from self.rglob(rest)
            return
        for entry in self.iterdir() if self.is_dir() else ():
            if fnmatchcase(entry.name, first):
                if rest:
                    yield from entry.glob(rest)
                else:
                    yield entry

    def rglob(
        self, pattern: str, **options: Any
    ) -> "Generator[BucketPath, None, None]":
        """Yield the objects below, at any depth, whose name matches a pattern."""
        del options
        with _reached(self):
            found = _file_system().find(str(self))
        for name in found:
            path = type(self)(f"{SCHEME}{name}")
            if fnmatchcase(path.name, pattern):
                yield path

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Open an object for reading, or for writing anew: it appears when closed."""
        del buffering
        if mode.replace("b", "") not in ("r", "w"):
            raise OSError(f"{self}: a bucket cannot open a file with mode {mode!r}")
        with _reached(self):
            file = _file_system().open(str(self), mode.replace("b", "") + "b")
        if "b" in mode:
            return file
        return io.TextIOWrapper(file, encoding or "utf-8", errors, newline)

    def read_bytes(self) -> bytes:
        """Read an object."""
        with _reached(self):
            return _file_system().cat_file(str(self))

    def read_text(
        self,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> str:
        """Read an object as text."""
        with io.TextIOWrapper(
            io.BytesIO(self.read_bytes()), encoding or "utf-8", errors, newline
        ) as text:
            return text.read()

    def write_bytes(self, data: Any) -> int:
        """Write an object, whole or not at all."""
        with _reached(self), _file_system().open(str(self), "wb") as file:
            return file.write(data)

    def write_text(
        self,
        data: str,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> int:
        """Write text as an object, whole or not at all."""
        del newline
        return self.write_bytes(data.encode(encoding or "utf-8", errors or "strict"))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object."""
        if missing_ok and not self.exists():
            return
        with _reached(self):
            _file_system().rm_file(str(self))

    def mkdir(
        self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False
    ) -> None:
        """Do nothing: a folder of a bucket is what its objects are called."""

    def rmdir(self) -> None:
        """Do nothing, as `mkdir`."""

    rename = replace = _refuse("rename")
    touch = _refuse("touch a file")
    chmod = _refuse("change permissions")

    def _information(self) -> Mapping[str, Any] | None:
        if not self.bucket:
            return None
        try:
            with _reached(self):
                return _file_system().info(str(self))
        except FileNotFoundError:
            return None


def run_path(path: str | os.PathLike[str]) -> Path:
    """Return the path that a user means of a run or of a model, here or in a bucket.

    Args:
      path: as given on a command line, which may have lost a slash, or by a caller.

    Raises:
      ValueError: it is an address of elsewhere than gs://, or buckets cannot be read
        with what is installed; names the remedy.

    Example:
      >>> print(run_path(Path("gs://bucket/run")), run_path("runs/a"))
      gs://bucket/run runs/a
    """
    text = os.fspath(path)
    found = _IN_BUCKET.fullmatch(text)
    if found is None:
        return local_path(path)
    bucket = BucketPath(SCHEME + found[1])
    if len(bucket.parts) < 2:
        raise ValueError(f"{SCHEME} names no bucket; give {SCHEME}BUCKET/RUN")
    if importlib.util.find_spec("gcsfs") is None:
        raise ValueError(
            f"{bucket}: gcsfs, which reads and writes buckets, is not installed; "
            "pip install 'contextual-jax[gs]', or mount the bucket and give the path"
        )
    return bucket


RUN_PATH: Mapping[str, Any] = MappingProxyType({CONVERTED_BY: run_path})
"""Metadata of a dataclass's field that may be in a bucket; see `with_local_paths`."""


def in_bucket(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is in a bucket.

    Example:
      >>> in_bucket("gs://bucket/run"), in_bucket(Path("runs/a"))
      (True, False)
    """
    return _IN_BUCKET.fullmatch(os.fspath(path)) is not None


def put_file(source: Path, target: Path) -> None:
    """Write a file of this machine as an object, whole or not at all.

    Raises:
      OSError: the bucket cannot be reached.
    """
    with _reached(target):
        _file_system().put_file(str(source), str(target))


def local_copy(path: Path) -> Path:
    """Return a path itself, or of a model in a bucket a copy on this machine.

    What reads models needs files. The copy lasts as long as the process, and serves
    again while the model is as it was.

    Args:
      path: a directory, a file of one, or the beginning of its names, as of a
        checkpoint. All files that lie in the directory are copied, and config.json of
        those in it.

    Raises:
      ValueError: there is no such directory, or it holds no configuration.
      OSError: the bucket cannot be reached, or the disk is full.
    """
    if not in_bucket(path):
        return path
    is_directory = path.is_dir()
    folder = path if is_directory else path.parent
    if not is_directory and (len(path.parts) < 3 or not folder.is_dir()):
        raise ValueError(f"{path}: no such directory")
    copied = _copy_folder(folder)
    return copied if is_directory else copied / path.name


_copies: dict[str, tuple[list[Any], Path]] = {}


def _copy_folder(folder: Path) -> Path:
    with _reached(folder):
        listed = _file_system().ls(str(folder), detail=True, refresh=True)
    held = [
        [entry["name"], entry["size"], entry.get("generation")]
        for entry in listed
        if entry["type"] == "file"
    ]
    if not any(name.endswith(".json") for name, *_ in held):
        raise ValueError(
            f"{folder} is no model that is known here: it holds no configuration"
        )
    known, copied = _copies.get(str(folder), (None, None))
    if copied is not None and known == held:
        return copied
    copied = Path(tempfile.mkdtemp(dir=_place_of_copies()), *folder.parts[1:])
    copied.mkdir(parents=True)
    sources: list[Path] = [BucketPath(f"{SCHEME}{name}") for name, *_ in held]
    sources += folder.glob("*/config.json")
    for source in sources:
        target = copied / source.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        with _reached(source):
            _file_system().get_file(str(source), str(target))
    _copies[str(folder)] = held, copied
    return copied


@functools.cache
def _place_of_copies() -> str:
    place = tempfile.mkdtemp(prefix="gs-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _file_system() -> Any:
    # Late: it takes half a second, and few need it.
    import fsspec

    logging.getLogger("gcsfs").addFilter(_is_not_raised)
    # It is kept there, for a fork anew. Listings are not: other processes write too.
    return fsspec.filesystem("gcs", use_listings_cache=False)


def _is_not_raised(record: logging.LogRecord) -> bool:
    """Return whether a message of the client is not of an error that it also raises."""
    return not record.exc_info


@contextmanager
def _reached(path: Path) -> Iterator[None]:
    """Say in a line why a bucket cannot be reached; its client raises many kinds."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such object or bucket") from error
    except Exception as error:
        raise unreachable(path, error) from error


def unreachable(path: Path, error: Exception) -> OSError:
    """Return the error to raise where a client of the storage has failed."""
    return OSError(
        f"{path} cannot be read or written ({first_line(error)}); see that the bucket "
        f"is there, that this user may use it ({_LOGIN}), and the network"
    )
