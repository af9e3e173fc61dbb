# SPDX-License-Identifier: Apache-2.0
"""Files of columns, one word a line: their rows, and the column that is asked for.

CoNLL has no order of columns that all files share, so a column is found by its number,
from 1 or, from the last one, -1. Those of CoNLL-U have names besides.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from embed_jax.suggest import suggest

DOCUMENT_START = "-DOCSTART-"

# What a blank line may have; no other white space separates anything.
_BLANKS = " \t\r"


class Row(NamedTuple):
    """A line of a file of columns.

    Attributes:
      number: of the line, from 1.
      cells: its columns; `-DOCSTART-` alone where a document begins.
    """

    number: int
    cells: list[str]

    @property
    def begins_document(self) -> bool:
        """Whether it is no word, but the beginning of a document."""
        return self.cells == [DOCUMENT_START]


IsWord = Callable[[list[str], str | None], bool]
"""Whether a line that begins with "#" is a word and no comment: from its columns, and
what separates them (None for any number of spaces)."""


class _Shape(NamedTuple):
    """How a file is divided, as found at line `number`; None is any spaces."""

    separator: str | None
    num_columns: int
    number: int


def read_rows(
    lines: Iterable[str], path: Path, is_word: IsWord
) -> Iterator[Row | None]:
    """Yield the rows of a file; None where a sentence ends.

    Columns are separated by tabs if the first word's line has one, otherwise by any
    number of spaces. A document begins at a line whose word is -DOCSTART-, and at a
    comment "# newdoc". A line that begins with "#" is a comment, unless it has as many
    columns as the other words and `is_word` takes it for one.

    Args:
      lines: of the file, without their ends.
      path: of the file, for messages.
      is_word: about a line that begins with "#".

    Raises:
      ValueError: a line has another number of columns than the first word's; names
        file and line.
    """
    shape, lines = _find_shape(lines, is_word)
    if shape is None:
        return
    separator, num_columns = shape.separator, shape.num_columns
    for number, text in enumerate(lines, start=1):
        cells = _cells(text, separator)
        if not text.strip(_BLANKS):
            yield None
        elif starts_document(text):
            yield Row(number, [DOCUMENT_START])
        elif _is_comment(text) and not (
            len(cells) == num_columns and is_word(cells, separator)
        ):
            if text[1:].split()[:1] == ["newdoc"]:
                yield Row(number, [DOCUMENT_START])
        elif len(cells) == num_columns:
            yield Row(number, cells)
        else:
            raise ValueError(
                f"{path}:{number}: {_count(len(cells))} where the file's first word "
                f"has {num_columns}: {text[:60]!r}; separate them by "
                f"{'one tab' if separator else 'spaces'}"
            )


def find_column(
    given: str, num_columns: int, path: Path, names: Sequence[str] = ()
) -> int:
    """Return the index of a column, from 0.

    Args:
      given: its number from 1, or from the last one, -1; or its name.
      num_columns: of the file.
      path: of the file, for messages.
      names: of the columns, in capitals, where they have names.

    Raises:
      ValueError: there is no such column.

    Example:
      >>> [find_column(given, 4, Path("a.conll")) for given in ("1", "-1")]
      [0, 3]
      >>> find_column("form", 10, Path("a.conllu"), ("ID", "FORM"))
      1
    """
    if given.upper() in names:
        return list(names).index(given.upper())
    try:
        number = int(given)
    except ValueError:
        named = "; the columns of CoNLL have no names: give a number, from 1"
        if names:
            named = f"; {suggest(given, list(names), 'columns')}"
        raise ValueError(f"{path} has no column {given!r}{named}") from None
    if number == 0 or not -num_columns <= number <= num_columns:
        raise ValueError(
            f"{path} has no column {number}; there are {num_columns}, from 1, or from "
            "the last one, -1"
        )
    return number - 1 if number > 0 else num_columns + number


def refuse_numbers(rows: Iterable[Row | None], path: Path) -> Iterator[Row | None]:
    """Yield rows whose words are in the first column because nobody named another.

    Raises:
      ValueError: the first column of the first sentence of two words or more counts
        them, so that the words are elsewhere.
    """
    first: list[str] = []
    seen = False
    for row in rows:
        if not seen:
            if row is not None and not row.begins_document:
                first.append(row.cells[0].strip(_BLANKS))
            elif len(first) > 1:
                seen = True
                _refuse_numbers(first, path)
            else:
                first = []
        yield row
    if not seen:
        _refuse_numbers(first, path)


def _refuse_numbers(first: Sequence[str], path: Path) -> None:
    for start in (0, 1):
        counted = [str(number) for number in range(start, start + len(first))]
        if len(first) > 1 and list(first) == counted:
            raise ValueError(
                f"{path}: the first column counts the words of a sentence "
                f"({', '.join(first[:3])}…), and the words are read from there unless "
                "another is named: --column 2, or --column 1 if these are the words"
            )


def is_no_remark(cells: list[str], separator: str | None) -> bool:
    """Return whether a line that begins with "#" may be a word, whatever its columns.

    Of columns between spaces, "# newdoc" and "# key = value" are comments.
    """
    return separator is not None or not (
        cells[0] == "#" and (cells[1:2] == ["newdoc"] or cells[2:3] == ["="])
    )


def starts_document(text: str) -> bool:
    """Return whether the word of a line is -DOCSTART-."""
    # Divided as it may be: some files separate its columns unlike those of the words.
    return text.split(maxsplit=1)[:1] == [DOCUMENT_START]


def _find_shape(
    lines: Iterable[str], is_word: IsWord
) -> tuple[_Shape | None, Iterator[str]]:
    """Find the shape at the first line that must be a word, else at a "#…" line.

    Returns:
      The shape, and all lines.
    """
    rest = iter(lines)
    seen, doubtful = [], None
    for number, text in enumerate(rest, start=1):
        seen.append(text)
        if not text.strip(_BLANKS) or starts_document(text):
            continue
        separator = "\t" if "\t" in text else None
        cells = _cells(text, separator)
        shape = _Shape(separator, len(cells), number)
        if not _is_comment(text):
            return shape, itertools.chain(seen, rest)
        if doubtful is None and is_word(cells, separator):
            doubtful = shape
    return doubtful, iter(seen)


def _cells(text: str, separator: str | None) -> list[str]:
    if separator:
        return text.rstrip("\r").split(separator)
    # Not split(): the other spaces of Unicode belong to words.
    return [field for field in text.strip(" \r").split(" ") if field]


def _is_comment(text: str) -> bool:
    return text.startswith("#")


def _count(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"
