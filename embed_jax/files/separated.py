# SPDX-License-Identifier: Apache-2.0
r"""Rows of tables, as Python's csv and pandas read them by default.

    csv.reader(file, delimiter="\t")        # of a file opened with newline=""
    pandas.read_csv(path, sep="\t")         # or, of commas, without sep

A cell with the separator, a carriage return or a quotation mark is put into quotation
marks, and such marks in it are doubled. Every other cell is as it is, and a row is a
line.

pandas takes the cells NA, nan, null and a few others for missing values, and columns of
numerals for numbers, whatever quotes there are; `keep_default_na=False, dtype=str`
reads the text as it was.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from embed_jax.files.output_file import open_output

Separator = Literal["\t", ","]
SEPARATORS: dict[str, Separator] = {".tsv": "\t", ".csv": ","}
"""The separators of tables, by the ending of their names."""


def separated(cells: Sequence[object], separator: Separator = "\t") -> str:
    r"""Return a row of a table, with its line end.

    Args:
      cells: of any type with a text form; there are at least two, so that no row is a
        blank line.
      separator: between two cells.

    Raises:
      ValueError: a cell holds a line feed, or there is one cell only.

    Example:
      >>> separated([1, "a,b", 'a "word" of it'])
      '1\ta,b\t"a ""word"" of it"\n'
      >>> separated([1, "a,b", 2.5], ",")
      '1,"a,b",2.5\n'
    """
    texts = [str(cell) for cell in cells]
    if len(texts) < 2 or any("\n" in text for text in texts):
        raise ValueError(f"{texts}: a row has two cells or more, without line feeds")
    return separator.join(_quoted(text, separator) for text in texts) + "\n"


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Write a table between commas; the file appears when it is complete.

    Raises:
      ValueError: as `separated`.
      OSError: the disk is full or fails.
    """
    with open_output(path) as file:
        file.write(separated(header, ",").encode())
        for row in rows:
            file.write(separated(row, ",").encode("utf-8", "replace"))


def _quoted(text: str, separator: Separator) -> str:
    # csv.writer of some versions leaves a carriage return bare.
    if not {separator, "\r", '"'}.isdisjoint(text):
        return '"' + text.replace('"', '""') + '"'
    return text
