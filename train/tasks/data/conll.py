# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of words with tags in columns: CoNLL, and CoNLL-U.

All variants are read: tabs or spaces, any number of columns, IOB1, BIO2 or IOBES,
comments, `-DOCSTART-` lines, any line ends, a byte order mark. Tags are converted to
BIO2.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from embed_jax.corpus.columns import (
    DOCUMENT_START,
    Row,
    find_column,
    is_no_remark,
    read_rows,
    refuse_numbers,
    starts_document,
)
from embed_jax.corpus.conll import (
    COLUMNS,
    SAMPLE,
    analysed,
    is_conll_u,
    read_conll_u_rows,
)
from embed_jax.corpus.lines import read_lines
from embed_jax.files.local_path import local_path
from embed_jax.files.output_file import open_output
from train.tasks.data.tagged_datasets import read_tfds
from train.tasks.spans import is_tag, to_bio

SPLIT_NAMES = {
    "train": ("train", "eng.train"),
    "dev": ("dev", "valid", "validation", "testa", "eng.testa"),
    "test": ("test", "testb", "eng.testb"),
}
SUFFIXES = ("", ".conll", ".txt", ".tsv", ".bio", ".iob", ".conllu")
TFDS_PREFIX = "tfds:"


class TaggedSentence(NamedTuple):
    """A sentence and a tag for each of its words.

    Attributes:
      words: as written.
      tags: BIO2, or as written if they are not read as spans.
      line: of its first word in the file, from 1.
      document: index of its document in the file, from 0.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int = 0
    document: int = 0


def read_splits(data: str, **how: Any) -> dict[str, list[TaggedSentence]]:
    """Read the training, development and test sentences of a data set.

    Args:
      data: a folder with one file for each under a usual name (train.conll, valid.txt,
        eng.testb, …), or "tfds:" and the name of a data set of TFDS such as conll2003,
        each of whose sentences is a document of its own.
      **how: columns of the files, as `read_conll` takes them.

    Returns:
      Lists under "train", "dev" and "test".

    Raises:
      ValueError: a split is missing, ambiguous or empty, or a line is bad.
      FileNotFoundError: no such folder.
    """
    if data.startswith(TFDS_PREFIX):
        read = read_tfds(data.removeprefix(TFDS_PREFIX))
        # TFDS shuffles the sentences; none is the context of another.
        splits = {
            name: [
                TaggedSentence(words, to_bio(tags), index + 1, index)
                for index, (words, tags) in enumerate(sentences)
            ]
            for name, sentences in read.items()
        }
    else:
        splits = {
            name: read_conll(find_split(local_path(data), name), **how)
            for name in SPLIT_NAMES
        }
    for name, sentences in splits.items():
        if not sentences:
            raise ValueError(f"{data}: the {name} split has no sentences")
    return splits


def find_split(folder: Path, name: str) -> Path:
    """Find the file of a split by its usual names, optionally with .gz.

    Raises:
      ValueError: there is none, or more than one.
      FileNotFoundError: no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    usual = {
        stem + suffix + compression
        for stem in SPLIT_NAMES[name]
        for suffix in SUFFIXES
        for compression in ("", ".gz")
    }
    found = sorted(
        path.name for path in folder.iterdir() if path.name in usual and path.is_file()
    )
    if len(found) == 1:
        return folder / found[0]
    if found:
        raise ValueError(
            f"{folder} has {len(found)} files for {name}: {', '.join(found)}; keep one"
        )
    stems = " or ".join(SPLIT_NAMES[name])
    raise ValueError(
        f"{folder} has no file for {name}: {stems}, and one of "
        f"{', '.join(filter(None, SUFFIXES))} or nothing"
    )


def read_conll(
    path: Path,
    *,
    column: int | str = -1,
    word_column: str | None = None,
    scheme: Literal["auto", "none"] = "auto",
) -> list[TaggedSentence]:
    """Read the sentences of a file of columns, CoNLL-U or any other.

    How the rows are read: `embed_jax.corpus.columns.read_rows`, and of CoNLL-U
    `embed_jax.corpus.conll`, whose tags are those of the words that are analysed, the
    parts of a contraction.

    Args:
      path: UTF-8; .gz is decompressed.
      column: the column of the tags: its index, from 0 or from the end; or as it is
        given on a command line, its number from 1, or its name in CoNLL-U; there also
        MISC:name for the tags that a column holds as name=B-PER, and O elsewhere.
      word_column: of the words, as given on a command line; by default the first, and
        FORM of CoNLL-U.
      scheme: "auto" for spans in any of IOB1, BIO2, IOBES and BILOU, which are read as
        by seqeval; "none" for other tags, which are not changed.

    Raises:
      ValueError: a line that cannot be read; names file and line.
      OSError: the file cannot be read.
    """
    sentences: list[TaggedSentence] = []
    document = 0
    held: list[Row] = []
    places: tuple[int, int] | None = None  # of words and of tags

    def close() -> None:
        if held and places:
            sentence = _sentence(path, held, *places, scheme, document)
            held.clear()
            if sentence.words:
                sentences.append(sentence)

    lines = list(read_lines(path))
    in_conll_u = is_conll_u(lines[:SAMPLE])
    key = ""
    if in_conll_u:
        if isinstance(column, str):
            column, _, key = column.partition(":")
        rows = analysed(read_conll_u_rows(lines, path))
    else:
        rows = read_rows(lines, path, _word_test(column, scheme))
        if word_column is None:
            rows = refuse_numbers(rows, path)
    for row in rows:
        if row is None:
            close()
        elif row.begins_document:
            close()
            document = sentences[-1].document + 1 if sentences else 0
        else:
            names = COLUMNS if in_conll_u else ()
            places = places or _find_columns(path, row, column, word_column, names)
            held.append(_with_tag(row, places[1], key) if key else row)
    close()
    return sentences


def write_conll(
    path: Path,
    words: Sequence[Sequence[str]],
    *columns: Sequence[Sequence[str]],
    documents: Sequence[int] | None = None,
) -> None:
    """Write sentences in columns separated by tabs, so that they can be read back.

    Args:
      path: the file, written atomically.
      words: of each sentence.
      columns: further columns, such as gold and predicted tags.
      documents: of each sentence; a new one begins with -DOCSTART-.

    Raises:
      ValueError: sentences or columns of different lengths, or a text that a line
        cannot hold.
    """
    lengths = {len(words), *map(len, columns)}
    if documents is not None:
        lengths.add(len(documents))
    if len(lengths) > 1:
        raise ValueError(f"columns of {sorted(lengths)} sentences; all need the same")
    lines: list[str] = []
    for index, rows in enumerate(zip(words, *columns, strict=True)):
        if not rows[0] or len(set(map(len, rows))) > 1:
            raise ValueError(
                f"sentence {index} has columns of {[*map(len, rows)]} words; all need "
                "the same number, at least one"
            )
        if documents is not None and (
            index == 0 or documents[index] != documents[index - 1]
        ):
            lines += ["\t".join([DOCUMENT_START, *["O"] * len(columns)]), ""]
        for fields in zip(*rows, strict=True):
            line = "\t".join(fields)
            stripped = any(field != field.strip(" ") for field in fields[1:])
            if stripped or starts_document(line) or not all(map(_is_field, fields)):
                raise ValueError(f"sentence {index}: {fields} cannot be a line")
            lines.append(line)
        lines.append("")
    # Readers take the first of these characters for a byte order mark.
    text = "".join(f"{line}\n" for line in lines)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    with open_output(path) as file:
        file.write((mark + text).encode())


def _is_field(text: str) -> bool:
    return bool(text.strip()) and set(text).isdisjoint("\t\n\r\0")


def _word_test(
    column: int | str, scheme: str
) -> Callable[[list[str], str | None], bool]:
    """Return the test whether a line that begins with "#" is a word, not a comment."""

    def is_word(cells: list[str], separator: str | None) -> bool:
        place = int(column) if str(column).lstrip("-").isdecimal() else -1
        if isinstance(column, str) and place > 0:
            place -= 1
        if len(cells) < 2 or not -len(cells) <= place < len(cells):
            return False
        # Any word could be a tag of other schemes.
        if scheme != "none":
            return is_tag(cells[place].strip(" "))
        return is_no_remark(cells, separator)

    return is_word


def _find_columns(
    path: Path,
    row: Row,
    column: int | str,
    word_column: str | None,
    names: Sequence[str],
) -> tuple[int, int]:
    """Return the indices of the columns of words and of tags."""
    num_columns = len(row.cells)
    place = f"{path}:{row.number}"
    if num_columns < 2:
        raise ValueError(
            f"{place}: one column; a line has a word and, after a tab or spaces, its "
            "tag"
        )
    words = find_column(
        word_column or ("FORM" if names else "1"), num_columns, path, names
    )
    if isinstance(column, str):
        tags = find_column(column, num_columns, path, names)
    elif -num_columns <= column < num_columns:
        tags = column % num_columns
    else:
        raise ValueError(
            f"{place}: no column {column} for tags; there are {num_columns}"
        )
    if tags == words:
        raise ValueError(
            f"{place}: column {words + 1} cannot be that of the words and that of the "
            f"tags; there are {num_columns}"
        )
    return words, tags


def _with_tag(row: Row, column: int, key: str) -> Row:
    """Replace a cell of `name=value|…` by one of its values, or by O.

    Example:
      >>> _with_tag(Row(1, ["Oslo", "name=B-LOC|SpaceAfter=No"]), 1, "name").cells
      ['Oslo', 'B-LOC']
    """
    pairs = (pair.partition("=") for pair in row.cells[column].split("|"))
    values = {name: value for name, _, value in pairs}
    return row._replace(
        cells=[
            values.get(key, "O") if place == column else cell
            for place, cell in enumerate(row.cells)
        ]
    )


def _sentence(
    path: Path,
    rows: Sequence[Row],
    word_column: int,
    column: int,
    scheme: str,
    document: int,
) -> TaggedSentence:
    words, tags, numbers = [], [], []
    for number, columns in rows:
        word, tag = columns[word_column], columns[column].strip(" ")
        if not word.strip() and tag == "O":
            # Real files have them. No span is touched by leaving the word out.
            logging.getLogger(__name__).warning(
                "%s:%d: a tag without a word is left out", path, number
            )
            continue
        if not word.strip() or not tag:
            missing = "tag" if word.strip() else "word"
            raise ValueError(f"{path}:{number}: no {missing}: {chr(9).join(columns)!r}")
        if scheme == "auto" and not is_tag(tag):
            raise ValueError(
                f"{path}:{number}: {tag!r} is no tag of a span; there are O, and B-, "
                "I-, E-, S-, L-, U- before a label (--tag-column names the column)"
            )
        words.append(word)
        tags.append(tag)
        numbers.append(number)
    converted = to_bio(tags) if scheme == "auto" else tuple(tags)
    return TaggedSentence(tuple(words), converted, min(numbers, default=0), document)
