# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of CoNLL files: columns, one word a line.

All variants are read: tabs or spaces, any number of columns, IOB1, BIO2 or IOBES,
comments, `-DOCSTART-` lines, any line ends, a byte order mark. Tags are converted to
BIO2.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from embed_jax.corpus.conll_u import SAMPLE, is_conll_u
from embed_jax.corpus.lines import read_lines
from embed_jax.files.local_path import local_path
from embed_jax.files.output_file import open_output
from train.tasks.data.tagged_datasets import read_tfds
from train.tasks.spans import is_tag, to_bio

DOCUMENT_START = "-DOCSTART-"
SPLIT_NAMES = {
    "train": ("train", "eng.train"),
    "dev": ("dev", "valid", "validation", "testa", "eng.testa"),
    "test": ("test", "testb", "eng.testb"),
}
SUFFIXES = ("", ".conll", ".txt", ".tsv", ".bio", ".iob", ".conllu")
TFDS_PREFIX = "tfds:"

# What a blank line may have; no other white space separates anything.
_BLANKS = " \t\r"


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


class _Line(NamedTuple):
    number: int
    columns: list[str]


class _Layout(NamedTuple):
    """The column layout of a file, found at line `number`; None is any spaces."""

    separator: str | None
    num_columns: int
    number: int


def read_splits(data: str) -> dict[str, list[TaggedSentence]]:
    """Read the training, development and test sentences of a data set.

    Args:
      data: a folder with one file for each under a usual name (train.conll, valid.txt,
        eng.testb, …), or "tfds:" and the name of a data set of TFDS such as conll2003,
        each of whose sentences is a document of its own.

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
            name: read_conll(find_split(local_path(data), name)) for name in SPLIT_NAMES
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
    path: Path, *, column: int = -1, scheme: Literal["auto", "none"] = "auto"
) -> list[TaggedSentence]:
    """Read the sentences of a file.

    Columns are separated by tabs if the first word's line has one, otherwise by any
    number of spaces. A blank line ends a sentence. A document begins at a line whose
    word is -DOCSTART-, and at a comment "# newdoc". A line that begins with "#" is a
    comment, unless it has as many columns as the other words and, for spans, a tag.

    Args:
      path: UTF-8; .gz is decompressed.
      column: index of the tag's column, from 0, or from the end; words are the first.
      scheme: "auto" for spans in any of IOB1, BIO2, IOBES and BILOU, which are read as
        by conlleval; "none" for other tags, which are not changed.

    Raises:
      ValueError: a line that cannot be read; names file and line.
      OSError: the file cannot be read.
    """
    sentences: list[TaggedSentence] = []
    document = 0
    held: list[_Line] = []

    def close() -> None:
        if held:
            sentence = _sentence(path, held, column, scheme, document)
            held.clear()
            if sentence.words:
                sentences.append(sentence)

    for line in _lines(path, column, scheme):
        if line is None:
            close()
        elif line.columns[0] == DOCUMENT_START:
            close()
            document = sentences[-1].document + 1 if sentences else 0
        else:
            held.append(line)
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
            if stripped or _starts_document(line) or not all(map(_is_field, fields)):
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


def _lines(path: Path, column: int, scheme: str) -> Iterator[_Line | None]:
    """Yield the lines of words, None for the end of a sentence."""
    lines = list(read_lines(path))
    if is_conll_u(lines[:SAMPLE]):
        raise ValueError(
            f"{path} is CoNLL-U, whose first column numbers the words; keep the words "
            "and the column of the tags, for example: awk -F'\\t' '/^[0-9]+\\t/ "
            """{print $2 "\\t" $10} /^$/ {print ""}'"""
        )
    layout = _find_layout(lines, column, scheme)
    if layout is None:
        return
    separator, num_columns = layout.separator, layout.num_columns
    _check_columns(path, layout.number, num_columns, column)
    for number, text in enumerate(lines, start=1):
        columns = _columns(text, separator)
        if not text.strip(_BLANKS):
            yield None
        elif _starts_document(text):
            yield _Line(number, [DOCUMENT_START])
        elif _is_comment(text) and not (
            len(columns) == num_columns and _is_word(columns, separator, column, scheme)
        ):
            if text[1:].split()[:1] == ["newdoc"]:
                yield _Line(number, [DOCUMENT_START])
        elif len(columns) == num_columns:
            yield _Line(number, columns)
        else:
            raise ValueError(
                f"{path}:{number}: {_count(len(columns))} where the file's first word "
                f"has {num_columns}: {text[:60]!r}; separate them by "
                f"{'one tab' if separator else 'spaces'}"
            )


def _find_layout(lines: Sequence[str], column: int, scheme: str) -> _Layout | None:
    """Find the layout from the first line that must be a word, else from "#…" lines."""
    doubtful = None
    for number, text in enumerate(lines, start=1):
        if not text.strip(_BLANKS) or _starts_document(text):
            continue
        separator = "\t" if "\t" in text else None
        columns = _columns(text, separator)
        layout = _Layout(separator, len(columns), number)
        if not _is_comment(text):
            return layout
        if doubtful is None and _is_word(columns, separator, column, scheme):
            doubtful = layout
    return doubtful


def _columns(text: str, separator: str | None) -> list[str]:
    if separator:
        return text.rstrip("\r").split(separator)
    # Not split(): the other spaces of Unicode belong to words.
    return [field for field in text.strip(" \r").split(" ") if field]


def _starts_document(text: str) -> bool:
    # Divided as it may be: some files separate its columns unlike those of the words.
    return text.split(maxsplit=1)[:1] == [DOCUMENT_START]


def _is_comment(text: str) -> bool:
    return text.startswith("#")


def _is_word(
    columns: list[str], separator: str | None, column: int, scheme: str
) -> bool:
    """Return whether a line that begins with "#" is a word, not a comment."""
    if len(columns) < 2 or not -len(columns) < column < len(columns):
        return False
    if scheme != "none":
        return is_tag(columns[column].strip(" "))
    # Any word could be a tag here; but "# newdoc" and "# key = value" are comments.
    return separator is not None or not (
        columns[0] == "#" and (columns[1] == "newdoc" or columns[2:3] == ["="])
    )


def _check_columns(path: Path, number: int, num_columns: int, column: int) -> None:
    if num_columns < 2:
        raise ValueError(
            f"{path}:{number}: one column; a line has a word and, after a tab or "
            "spaces, its tag"
        )
    if not -num_columns < column < num_columns or column == 0:
        raise ValueError(
            f"{path}:{number}: no column {column} for tags; there are {num_columns}, "
            "of which the first has the words"
        )


def _sentence(
    path: Path, lines: Sequence[_Line], column: int, scheme: str, document: int
) -> TaggedSentence:
    words, tags, numbers = [], [], []
    for number, columns in lines:
        word, tag = columns[0], columns[column].strip(" ")
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
                "I-, E-, S-, L-, U- before a label"
            )
        words.append(word)
        tags.append(tag)
        numbers.append(number)
    converted = to_bio(tags) if scheme == "auto" else tuple(tags)
    return TaggedSentence(tuple(words), converted, min(numbers, default=0), document)


def _count(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"
