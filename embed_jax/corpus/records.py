# SPDX-License-Identifier: Apache-2.0
"""Reading of texts out of files of records: JSON lines and Parquet.

    {"text": "A sentence.", "source": "a book"}     # a.jsonl: one such object a line
    a.parquet                                       # a column of strings is a field

Either may be compressed (`.gz`, `.zst`). Parquet and zstd are read with pyarrow.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embed_jax.corpus.compressed import open_decompressed, plain_name
from embed_jax.corpus.lines import read_lines
from embed_jax.suggest import suggest

RECORD_SUFFIXES = (".jsonl", ".parquet")
"""Endings of files of records, before that of their compression."""

# Rows of Parquet that are converted at a time.
_ROWS = 1024


def holds_records(path: Path) -> bool:
    """Return whether a file holds records, by its name.

    Example:
      >>> [holds_records(Path(name)) for name in ("a.jsonl.gz", "a.parquet", "a.txt")]
      [True, True, False]
    """
    return plain_name(path).endswith(RECORD_SUFFIXES)


def read_texts(path: Path, field: str) -> Iterator[str]:
    """Yield one field of every record of a file, in order; empty texts too.

    Args:
      path: of the file; `holds_records(path)`.
      field: the name of the field.

    Raises:
      ValueError: the file is no such file or is damaged, it has no such field, or the
        field of a row is no text; names the row, counted from 1 (of JSON, the line).
        Or pyarrow is missing.
      OSError: the file cannot be read.
    """
    name = plain_name(path)
    if name.endswith(".jsonl"):
        return _of_json_lines(path, field)
    if name.endswith(".parquet"):
        return _of_parquet(path, field)
    raise ValueError(f"{path} has a name of none of {', '.join(RECORD_SUFFIXES)}")


def _of_json_lines(path: Path, field: str) -> Iterator[str]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"{place} is not JSON ({error}); .jsonl has an object a line"
            ) from error
        if not isinstance(record, dict):
            raise ValueError(
                f"{place} is {_kind(record)}, not an object with fields; .jsonl has an "
                "object a line"
            )
        if field not in record:
            raise _no_such_field(place, field, list(record))
        yield _text(record[field], place, field)


def _of_parquet(path: Path, field: str) -> Iterator[str]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError(
            f"{path} is read with pyarrow, which is missing: pip install pyarrow"
        ) from error
    # Parquet is read from its end: what is compressed as a whole is unpacked first.
    with open_decompressed(path) as opened, tempfile.TemporaryFile() as unpacked:
        file = opened
        if plain_name(path) != path.name:
            shutil.copyfileobj(opened, unpacked)
            unpacked.seek(0)
            file = unpacked
        try:
            table = parquet.ParquetFile(file)
            names = table.schema_arrow.names
            if field not in names:
                raise _no_such_field(str(path), field, names)
            kind = table.schema_arrow.field(field).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if not _is_string(pa.types, kind):
                raise ValueError(f"{path}: field {field!r} is {kind}, not text")
            number = 0
            for batch in table.iter_batches(_ROWS, columns=[field], use_threads=False):
                for text in batch.column(0).to_pylist():
                    number += 1
                    yield _text(text, f"{path}, row {number}", field)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk
                raise
            raise ValueError(
                f"{path} is no Parquet file, or damaged or cut short: {error}"
            ) from error


def _is_string(types: Any, kind: Any) -> bool:
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
    )


def _text(value: Any, place: str, field: str) -> str:
    """Return a value, if it is text as a line of a text file is."""
    if not isinstance(value, str):
        raise ValueError(
            f"{place}: field {field!r} is {_kind(value)}, not text; leave such rows out"
        )
    if "\0" in value:
        raise ValueError(
            f"{place}: field {field!r} has a NUL at character "
            f"{value.index(chr(0)) + 1}, which no text has; take it out"
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{place}: field {field!r} has half a character (a lone surrogate) at "
            f"character {error.start + 1}; take it out"
        ) from error
    return value


def _kind(value: Any) -> str:
    """Return what a value of JSON is called."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _no_such_field(place: str, field: str, names: list[str]) -> ValueError:
    return ValueError(f"{place}: no field {field!r}; {suggest(field, names, 'fields')}")
