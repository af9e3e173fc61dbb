# SPDX-License-Identifier: Apache-2.0
r"""Rows of tables between tabs, as Python's csv and pandas read them by default.

    csv.reader(file, delimiter="\t")        # of a file opened with newline=""
    pandas.read_csv(path, sep="\t")

A cell with a tab, a carriage return or a quotation mark is put into quotation marks,
and such marks in it are doubled. Every other cell is as it is, and a row is a line.

pandas takes the cells NA, nan, null and a few others for missing values, and columns of
numerals for numbers, whatever quotes there are; `keep_default_na=False, dtype=str`
reads the text as it was.
"""

from collections.abc import Sequence

_SPECIAL = frozenset('\t\r"')


def tab_separated(cells: Sequence[object]) -> str:
    r"""Return a row of a table, with its line end.

    Args:
      cells: of any type with a text form; there are at least two, so that no row is a
        blank line.

    Raises:
      ValueError: a cell holds a line feed, or there is one cell only.

    Example:
      >>> tab_separated([1, "a", 'a "word" of it'])
      '1\ta\t"a ""word"" of it"\n'
    """
    texts = [str(cell) for cell in cells]
    if len(texts) < 2 or any("\n" in text for text in texts):
        raise ValueError(f"{texts}: a row has two cells or more, without line feeds")
    return "\t".join(map(_quoted, texts)) + "\n"


def _quoted(text: str) -> str:
    # csv.writer of some versions leaves a carriage return bare.
    if _SPECIAL.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'
