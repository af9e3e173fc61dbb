# SPDX-License-Identifier: Apache-2.0
r"""Recognising CoNLL that is given as text, and reading of CoNLL-U as sentences.

CoNLL-U (universaldependencies.org/format.html) has ten columns between tabs, of which
the second holds the words:

    # newdoc
    1-2	du	_	_	_	_	_	_	_	_
    1	de	de	ADP	_	_	3	case	_	_
    2	le	le	DET	_	_	3	det	_	_
    3	pont	pont	NOUN	_	_	0	root	_	_

The words are those of the text: "du", which a model was trained on, not "de" and "le";
nor the empty nodes (8.1), which no text has.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from embed_jax.corpus.sentences import Sentence

NUM_COLUMNS = 10
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

    They are if all have as many columns, and one of these holds tags of spans (B-PER,
    O) or universal tags (NOUN) and nothing else.

    Example:
      >>> is_tagged(["EU\tB-ORG", "rejects\tO", "calls\tO", ".\tO"])
      True
      >>> is_tagged(["A bank .", "The river .", "Two banks .", "A window ."])
      False
    """
    written = [line for line in lines if line.strip()]
    if written and written[0].split()[0] == "-DOCSTART-":
        return True
    if len(written) < _FEWEST:
        return False
    separator = "\t" if "\t" in written[0] else None
    rows = [line.strip().split(separator) for line in written]
    if len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
        return False
    columns = list(zip(*rows, strict=True))
    return all(map(_SPAN_TAG.fullmatch, columns[-1])) or any(
        _UNIVERSAL_TAGS.issuperset(column) and len(set(column)) >= _FEWEST_TAGS
        for column in columns[1:]
    )


def read_conll_u(lines: Iterable[str], path: Path) -> Iterator[Sentence]:
    r"""Yield the words of each sentence, and a blank sentence between documents.

    Args:
      lines: of the file.
      path: of the file, for messages.

    Raises:
      ValueError: a line is not one of CoNLL-U.

    Example:
      >>> row = "{}\t{}" + 8 * "\t_"
      >>> rows = ["1-2", "du"], ["1", "de"], ["2", "le"], ["3", "pont"], ["3.1", "il"]
      >>> list(read_conll_u([row.format(*each) for each in rows], Path("a.conllu")))
      [['du', 'pont']]
    """
    words: list[str] = []
    covered = 0  # the last word of the token that is written as one
    began = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            if words:
                yield words
            words, covered = [], 0
        elif line.startswith("#"):
            if line[1:].split()[:1] == ["newdoc"] and began:
                yield ""
        else:
            fields = line.split("\t")
            if len(fields) != NUM_COLUMNS or not _ID.fullmatch(fields[0]):
                raise ValueError(
                    f"{path}, line {number}: not {NUM_COLUMNS} columns between tabs, "
                    "the first a number, as this file of CoNLL-U begins"
                )
            began = True
            first, range_mark, last = fields[0].partition("-")
            if range_mark:
                covered = int(last)
                words.append(fields[1])
            elif "." not in first and int(first) > covered:
                words.append(fields[1])
    if words:
        yield words
