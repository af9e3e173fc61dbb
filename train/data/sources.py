# SPDX-License-Identifier: Apache-2.0
"""Sources of text: a TFDS data set, local files of text or records, or docstrings."""

import dataclasses
import functools
import glob
import hashlib
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from embed_jax.checks import check_fields
from embed_jax.corpus.docstrings import read_modules, source_files
from embed_jax.corpus.lines import LONGEST_LINE
from embed_jax.corpus.records import holds_records, read_texts
from embed_jax.corpus.text import check_rereadable, read_sentences
from embed_jax.corpus.words import text_of
from embed_jax.files.claim import claim_directory
from embed_jax.files.json_file import json_text
from embed_jax.files.local_path import local_path
from embed_jax.suggest import suggest
from train.data import builders, damage, forms
from train.data.content import Known, digest_contents, digest_of
from train.data.forms import Form
from train.data.prepared_tfds import open_prepared
from train.data.tfds_split import as_named

FIELD = "text"
"""The field of records, and the feature of a TFDS data set, that has the text."""

# Documents that are read at a time; some are whole books.
_READ_AHEAD = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class TfdsSource:
    """A data set that TFDS has prepared on this machine, as array_record files.

    Attributes:
      name: of the data set, optionally with its configuration and version, as in
        wikipedia/20230601.en:1.0.0.
      split: the split to read, optionally a slice, as in train[:10%].
      feature: the feature with the text.
      form: of its text.
      data_dir: TFDS's data directory; by default its usual one.
    """

    name: str
    split: str = "train"
    feature: str = FIELD
    form: Form = "prose"
    data_dir: Path | None = None

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSource:
    """Local text files in UTF-8; those that end in .gz or .zst are decompressed.

    Attributes:
      patterns: file names, with * ? [] and ** as in a shell; files are read in the
        order of their names, each once. A name with brackets that is there as it
        stands is that name, as the folder in "texts [1999]/*.txt".
      form: of their text.
    """

    patterns: tuple[str, ...]
    form: Form = "sentences"

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordSource:
    """Local files of records: JSON lines or Parquet, also with .gz or .zst after that.

    Attributes:
      patterns: file names, as in `TextSource`.
      field: the field with the text.
      form: of its text; each record is a document of its own.
    """

    patterns: tuple[str, ...]
    field: str = FIELD
    form: Form = "prose"

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)


FileSource = TextSource | RecordSource


@dataclasses.dataclass(frozen=True, kw_only=True)
class DocstringSource:
    """The docstrings of Python's standard library and of installed packages.

    Attributes:
      packages: additional packages; those that are not installed are skipped.
    """

    packages: tuple[str, ...] = ("jax", "flax", "numpy", "scipy")

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
          ValueError: names the field.
        """
        check_fields(self)


Source = TfdsSource | TextSource | RecordSource | DocstringSource


@dataclasses.dataclass(frozen=True)
class Documents:
    """The documents of a data set, read on access.

    Attributes:
      path: directory of the data set.
      split: of the data set.
      feature: the feature with the text.
      form: of the text.
    """

    path: Path
    split: str
    feature: str
    form: Form

    def __len__(self) -> int:
        """Number of documents.

        Raises:
          ValueError: the data set is damaged.
        """
        return len(self._records)

    def __getitem__(self, index: int) -> list[str]:
        """Return the sentences of a document, none if it is blank.

        Raises:
          ValueError: its text is not UTF-8, or damaged.
          IndexError: there is no such document.
        """
        return forms.sentences(self._text(index), self.form)

    def read(self, numbers: Sequence[int]) -> Iterator[list[str]]:
        """Yield the sentences of several documents; faster than one by one.

        Raises:
          ValueError: the text of one is not UTF-8, or damaged; names it.
        """
        for begin in range(0, len(numbers), _READ_AHEAD):
            chunk = numbers[begin : begin + _READ_AHEAD]
            for number, text in zip(chunk, self._texts(chunk), strict=True):
                yield forms.sentences(self._decode(number, text), self.form)

    def paragraphs(self, index: int) -> list[str]:
        """Return the text of a document, not split into sentences.

        Raises:
          ValueError: its text is not UTF-8, or damaged.
          IndexError: there is no such document.
        """
        return forms.paragraphs(self._text(index), self.form)

    def unopened(self) -> "Documents":
        """Return a copy without open files, for another process."""
        return dataclasses.replace(self)

    @functools.cached_property
    def _builder(self) -> tfds.core.DatasetBuilder:
        with damage.reading(self.path):
            return tfds.builder_from_directory(str(self.path))

    @functools.cached_property
    def _records(self) -> Any:
        damage.check_counts(self._builder, self.split)
        with damage.reading(self.path):
            # Its decorator hides the parameters from the type checker.
            return self._builder.as_data_source(split=self.split)  # pyright: ignore[reportCallIssue]

    def _text(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has no document {index}")
        return self._decode(index, self._texts([index])[0])

    def _texts(self, numbers: Sequence[int]) -> list[bytes]:
        try:
            return self._read(numbers, self.path)
        except ValueError:
            # Of several, which one it is, and so the file.
            for number in numbers:
                file = damage.file_of(self._builder, self.split, number)
                self._read([number], f"{file}, example {number},")
            raise

    def _read(self, numbers: Sequence[int], place: Path | str) -> list[bytes]:
        with damage.reading(place):
            records = self._records.__getitems__(numbers)
            return [record[self.feature] for record in records]

    def _decode(self, number: int, text: bytes) -> str:
        if len(text) > LONGEST_LINE:
            longest = max(map(len, text.split(b"\n")))
            if longest > LONGEST_LINE:
                raise ValueError(
                    f"{self.path}, example {number}: {self.feature} has a line of "
                    f"{longest:,} bytes, over {LONGEST_LINE:,}; write a sentence a line"
                )
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path}, example {number}: {self.feature} is not UTF-8 "
                f"(byte {error.start + 1})"
            ) from error


def open_documents(
    source: Source, cache_dir: Path, known: Known | None = None
) -> Documents:
    """Open the documents of a source; local text is first written as a data set.

    Args:
      source: the source of the text.
      cache_dir: directory of the data sets of local text. An existing one is used if
        what the files hold has not changed; outdated ones of the same source are
        removed.
      known: digests of files, see `corpus_digest`.

    Raises:
      ValueError: no such file or data set, an empty or damaged one, bad text; names it.
      OSError: a file cannot be read or written.
    """
    if isinstance(source, TfdsSource):
        return _open_tfds(source)
    if isinstance(source, FileSource):
        texts = _read_files(source)
        form, kind = source.form, "text"
    else:
        modules = read_modules(source_files(source.packages))
        texts = ("\n\n".join(module) for module in modules if module)
        form, kind = "prose", "docstrings"
    description = _describe(source)
    name = digest_of([corpus_digest(source, known), description])
    path = cache_dir / kind / name[:16]
    formerly = cache_dir / kind / former_digest(source)[:16]
    if builders.is_built(formerly):
        path = formerly  # of an earlier version
    if not builders.is_built(path):
        # Preparations of several directories may share it.
        with claim_directory(path.parent):
            builders.build(path, texts, description)
            builders.remove_left(path.parent)
            # Of the same text, as it was before; all else that lies there is in use.
            for other in path.parent.iterdir():
                if other != path and builders.description_of(other) == description:
                    builders.remove(other)
    return Documents(path, builders.SPLIT, builders.FEATURE, form)


def _describe(source: FileSource | DocstringSource) -> str:
    """Describe the source of a data set, independent of the working directory."""
    if isinstance(source, FileSource):
        patterns = tuple(str(local_path(name).absolute()) for name in source.patterns)
        return f"Prepared from {dataclasses.replace(source, patterns=patterns)}"
    return f"Prepared from {source} with Python {platform.python_version()}"


def corpus_digest(source: Source, known: Known | None = None) -> str:
    """Return a digest of what a source's files hold, wherever they lie.

    Args:
      source: the source; settings that are none of its files are not in the digest.
      known: digests of files from earlier calls, see `digest_contents`.

    Raises:
      ValueError: no such file or data set, or an empty one.
      OSError: a file cannot be read.
    """
    files = _files_of(source)
    if isinstance(source, FileSource):
        # The end of its name says how a file is read.
        names = ["".join(file.suffixes[-2:]) for file in files]
    else:
        names = [file.name for file in files]
    if isinstance(source, DocstringSource):
        # Thousands of small files, of which a record would be longer than they are.
        known = None
        # How a docstring is parsed, and what the standard library's are.
        names += map(str, sys.version_info[:3])
    return digest_of([names, digest_contents(files, known)])


def former_digest(source: Source) -> str:
    """Return the digest that earlier versions took, of names, sizes and times.

    Raises:
      ValueError: no such file or data set, or an empty one.
    """
    settings = {
        "source": repr(source),
        "files": [_state(file) for file in _files_of(source)],
        "python": list(sys.version_info[:3]),
    }
    return hashlib.sha256(json_text(settings).encode()).hexdigest()


def _files_of(source: Source) -> list[Path]:
    if isinstance(source, TfdsSource):
        return sorted(_open_tfds(source).path.iterdir())
    if isinstance(source, FileSource):
        return matching_files(source)
    return list(source_files(source.packages))


def matching_files(source: FileSource) -> list[Path]:
    """List the files of a source, in the order of their names.

    Raises:
      ValueError: no pattern, one that no file matches, or an empty file.
    """
    if not source.patterns:
        raise ValueError("patterns is empty; name at least one text file")
    files = set()
    for pattern in source.patterns:
        expanded = _with_literal_names(local_path(pattern))
        found = [Path(name) for name in glob.glob(expanded, recursive=True)]  # noqa: PTH207
        present = [path for path in found if path.is_file()]
        if not present:
            for path in found:
                check_rereadable(path)
            raise ValueError(f"patterns: no file matches {pattern!r}")
        files.update(present)
    for path in files:
        if not path.stat().st_size:
            raise ValueError(
                f"{path} is empty; remove it, or finish writing it, and run this again"
            )
    return sorted(files)


def _with_literal_names(pattern: Path) -> str:
    """Escape the names with brackets that are there as they stand: `texts [1999]`."""
    above = Path(pattern.anchor)
    names = list(pattern.relative_to(above).parts)
    for index, name in enumerate(names):
        above /= name
        # Behind a wildcard it cannot be told, and stays a pattern.
        if not os.path.lexists(above):
            break
        names[index] = glob.escape(name) if "[" in name else name
    return str(Path(pattern.anchor, *names))


def _read_files(source: FileSource) -> Iterator[str]:
    for path in matching_files(source):
        num_documents = 0
        for document in _documents_of(path, source):
            num_documents += 1
            yield document
        if not num_documents:
            what = "texts" if isinstance(source, RecordSource) else "lines"
            raise ValueError(f"{path} holds nothing but blank {what}; remove it")


def _documents_of(path: Path, source: FileSource) -> Iterator[str]:
    """Yield the documents of a file, without those that are blank."""
    if isinstance(source, RecordSource):
        return (text for text in read_texts(path, source.field) if text.strip())
    if holds_records(path):
        raise ValueError(
            f"{path} holds records, not lines of text; name their field: --text "
            f"{path} --field {FIELD}, or a RecordSource in a configuration"
        )
    return forms.cut_documents(map(text_of, read_sentences(path)), source.form)


def _open_tfds(source: TfdsSource) -> Documents:
    builder = open_prepared(source.name, source.data_dir)
    split = as_named(builder, source.name, source.split)
    _check_feature(builder, source)
    path = Path(builder.data_dir)
    return Documents(path, split, source.feature, source.form)


def _check_feature(builder: tfds.core.DatasetBuilder, source: TfdsSource) -> None:
    features = builder.info.features
    named: dict[str, Any] = {}
    if isinstance(features, tfds.features.FeaturesDict):
        named = dict(sorted(features.items()))
    if source.feature not in named:
        raise ValueError(
            f"feature: {source.name} has no {source.feature!r}; "
            f"{suggest(source.feature, list(named), 'features')}"
        )
    if not isinstance(named[source.feature], tfds.features.Text):
        texts = [k for k, v in named.items() if isinstance(v, tfds.features.Text)]
        raise ValueError(
            f"feature: {source.feature!r} of {source.name} is no text; "
            f"these are: {', '.join(texts) or 'none'}"
        )


def _state(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]
