# SPDX-License-Identifier: Apache-2.0
r"""Recognising CoNLL that is given as text, and reading of it as sentences of words.

CoNLL-U (universaldependencies.org/format.html) has ten columns between tabs, of which
the second holds the words:

    # newdoc
    1-2	du	_	_	_	_	_	_	_	_
    1	de	de	ADP	_	_	3	case	_	_
    2	le	le	DET	_	_	3	det	_	_
    3	pont	pont	NOUN	_	_	0	root	_	_

The words are those of the text: "du", which a model was trained on, not "de" and "le";
nor the empty nodes (8.1), which no text has. The other columns are of the parts, and so
are the words of a sentence that is read by one of them, such as LEMMA.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from embed_jax.corpus.columns import (
    DOCUMENT_START,
    Row,
    find_column,
    is_no_remark,
    read_rows,
    refuse_numbers,
    starts_document,
)
from embed_jax.corpus.sentences import Sentence

COLUMNS = (
    *("ID", "FORM", "LEMMA", "UPOS", "XPOS"),
    *("FEATS", "HEAD", "DEPREL", "DEPS", "MISC"),
)
"""The names of the columns of CoNLL-U."""
NUM_COLUMNS = len(COLUMNS)
FORM = COLUMNS.index("FORM")
NOTHING = "_"
"""What a column of CoNLL-U, other than the words, holds where it holds nothing."""
SAMPLE = 64
"""Lines at the beginning of a file by which it is recognised."""

_ID = re.compile(r"[0-9]+([-.][0-9]+)?")
_FIRST = re.compile(r"1(-[0-9]+)?|0\.1")
_SPAN_TAG = re.compile(r"O|[BIESLU]-\S+")
_UNIVERSAL_TAGS = {
    *(
        "ADJ",
        "ADP",
        "ADV",
        "AUX",
        "CCONJ",
        "CONJ",
        "DET",
        "INTJ",
        "NOUN",
        "NUM",
        "PART",
    ),
    *("PRON", "PROPN", "PRT", "PUNCT", "SCONJ", "SYM", "VERB", "X", "."),
}
# Fewer lines of words, or different tags, may be chance.
_FEWEST, _FEWEST_TAGS = 4, 3


def is_conll_u(lines: Sequence[str]) -> bool:
    """Return whether the first lines of a file are CoNLL-U."""
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return (
        bool(rows)
        and _FIRST.fullmatch(rows[0][0]) is not None
        and all(len(row) == NUM_COLUMNS and _ID.fullmatch(row[0]) for row in rows)
    )


def is_tagged(lines: Sequence[str]) -> bool:
    r"""Return whether the first lines of a file are words, each with its tags.

    They are if all but comments ("# …") have as many columns, and one of these holds
    tags of spans (B-PER, O) or universal tags (NOUN) and nothing else.

    Example:
      >>> is_tagged(["EU\tB-ORG", "rejects\tO", "calls\tO", ".\tO"])
      True
      >>> is_tagged(["A bank .", "The river .", "Two banks .", "A window ."])
      False
    """
    written = [line for line in lines if line.strip()]
    if written and starts_document(written[0]):
        return True
    words = [line for line in written if not line.startswith("#")]
    if len(words) < _FEWEST:
        return False
    separator = "\t" if "\t" in words[0] else None
    rows = [line.strip().split(separator) for line in words]
    if len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
        return False
    columns = list(zip(*rows, strict=True))
    return all(map(_SPAN_TAG.fullmatch, columns[-1])) or any(
        _UNIVERSAL_TAGS.issuperset(column) and len(set(column)) >= _FEWEST_TAGS
        for column in columns[1:]
    )


def read_conll_u(
    lines: Iterable[str], path: Path, column: str = "FORM"
) -> Iterator[Sentence]:
    r"""Yield the words of each sentence, and a blank sentence between documents.

    A row whose column is empty has no word, and neither has one with "_" in another
    column than FORM; a sentence without any word is none.

    Args:
      lines: of the file.
      path: of the file, for messages.
      column: of the words, by its name or number. By any but FORM, the words are those
        that are analysed: the parts of a contraction, not what is written.

    Raises:
      ValueError: a line is not one of CoNLL-U, or there is no such column.

    Example:
      >>> row = "{}\t{}" + 8 * "\t_"
      >>> rows = ["1-2", "du"], ["1", "de"], ["2", "le"], ["3", "pont"], ["3.1", "il"]
      >>> list(read_conll_u([row.format(*each) for each in rows], Path("a.conllu")))
      [['du', 'pont']]
    """
    place = find_column(column, NUM_COLUMNS, path, COLUMNS)
    rows = read_conll_u_rows(lines, path)
    if place == FORM:
        yield from _sentences(_written(rows), place)
    else:
        yield from _sentences(analysed(rows), place, nothing=NOTHING)


def read_conll_u_rows(lines: Iterable[str], path: Path) -> Iterator[Row | None]:
    """Yield all rows of a file, as `embed_jax.corpus.columns.read_rows`.

    Raises:
      ValueError: a line is not one of CoNLL-U.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            yield None
        elif line.startswith("#"):
            if line[1:].split()[:1] == ["newdoc"]:
                yield Row(number, [DOCUMENT_START])
        else:
            cells = line.split("\t")
            if len(cells) != NUM_COLUMNS or not _ID.fullmatch(cells[0]):
                raise ValueError(
                    f"{path}, line {number}: not {NUM_COLUMNS} columns between tabs, "
                    "the first a number, as this file of CoNLL-U begins"
                )
            yield Row(number, cells)


def analysed(rows: Iterable[Row | None]) -> Iterator[Row | None]:
    """Leave out the rows of contractions, whose parts follow, and of empty nodes."""
    for row in rows:
        if row is None or row.begins_document or row.cells[0].isdecimal():
            yield row


def read_conll(
    lines: Iterable[str], path: Path, column: str | None = None
) -> Iterator[Sentence]:
    r"""Yield the words of each sentence, and a blank sentence between documents.

    A row whose column is empty has no word; a sentence without any word is none.

    Args:
      lines: of a file whose words have lines of their own, with any columns.
      path: of the file, for messages.
      column: of the words, by its number; by default the first.

    Raises:
      ValueError: lines of different numbers of columns, or there is no such column; or
        none is given, and the first counts the words.

    Example:
      >>> lines = ["-DOCSTART- O", "", "EU B-ORG", "rejects O", "", "# O"]
      >>> list(read_conll(lines, Path("a.conll")))
      [['EU', 'rejects'], ['#']]
    """
    lines = iter(lines)
    sample = list(itertools.islice(lines, SAMPLE))
    last = [line.split()[-1] for line in sample if line.strip() and line[0] != "#"]
    has_spans = bool(last) and all(map(_SPAN_TAG.fullmatch, last))

    def is_word(cells: list[str], separator: str | None) -> bool:
        if has_spans and not _SPAN_TAG.fullmatch(cells[-1]):
            return False
        return is_no_remark(cells, separator)

    rows = read_rows(itertools.chain(sample, lines), path, is_word)
    if column is None:
        rows = refuse_numbers(rows, path)
    place = None
    for row in rows:
        if row is not None and not row.begins_document:
            place = find_column(column or "1", len(row.cells), path)
            rows = itertools.chain([row], rows)
            break
    if place is not None:
        yield from _sentences(rows, place)


def _written(rows: Iterable[Row | None]) -> Iterator[Row | None]:
    """Leave out the parts of contractions, whose row is before, and empty nodes."""
    covered = 0  # the last word of the token that is written as one
    for row in rows:
        if row is None or row.begins_document:
            covered = 0
            yield row
            continue
        first, range_mark, last = row.cells[0].partition("-")
        if range_mark:
            covered = int(last)
            yield row
        elif "." not in first and int(first) > covered:
            yield row


def _sentences(
    rows: Iterable[Row | None], column: int, *, nothing: str = ""
) -> Iterator[Sentence]:
    """Collect the words of a column into sentences.

    Args:
      rows: of words, None between sentences, and beginnings of documents.
      column: index of the column.
      nothing: what a row without a word has there, besides nothing.
    """
    words: list[str] = []
    began = False
    for row in rows:
        if row is None or row.begins_document:
            if words:
                yield words
            words = []
            if row is not None and began:
                yield ""
        else:
            began = True
            word = row.cells[column].strip(" ")
            if word and word != nothing:
                words.append(word)
    if words:
        yield words
