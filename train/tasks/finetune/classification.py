# SPDX-License-Identifier: Apache-2.0
"""Reading of labelled texts, single or in pairs: TSV, CSV, and Pang and Lee's data.

A line is `label, text` or `label, text, text`, unless a first line names the columns.
"""

import csv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embed_jax.corpus.lines import read_lines
from embed_jax.files.output_file import open_output
from embed_jax.files.separated import separated
from embed_jax.suggest import suggest

SPLITS = ("train", "dev", "test")
SUFFIXES = (".tsv", ".csv")
SHARES = (0.80, 0.05, 0.15)
"""Shares of train, dev and test, for data that are not divided."""

LABEL_COLUMN = "label"
# Columns that number the lines and are no text.
_UNREAD_COLUMNS = ("id", "idx", "index")

# The end of a member's name, and the label of its lines.
_POLARITY = {"rt-polarity.neg": "negative", "rt-polarity.pos": "positive"}
_SUBJECTIVITY = {"plot.tok.gt9.5000": "objective", "quote.tok.gt9.5000": "subjective"}


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One text, or a pair, with its label.

    Attributes:
      label: as written.
      text: the text, or the first of a pair.
      pair: the second of a pair.
      place: file and line, for messages.
    """

    label: str
    text: str
    pair: str | None = None
    place: str = ""


def read_text_splits(data: Path, *, seed: int) -> dict[str, list[LabelledText]]:
    """Read train, dev and test.

    Args:
      data: a folder with train, dev and test as .tsv or .csv; or the zip file of Pang
        and Lee's sentence polarity or subjectivity, which is divided at random.
      seed: of that division.

    Raises:
      ValueError: a file is missing, is not such a file, or has a bad line.
      OSError: a file cannot be read.
    """
    if data.suffix == ".zip":
        return split_texts(read_pang_lee(data), seed)
    if not data.is_dir():
        raise ValueError(f"{data}: no such folder, and no .zip file")
    splits = {name: read_texts(_find_file(data, name)) for name in SPLITS}
    if len({text.pair is None for texts in splits.values() for text in texts}) > 1:
        raise ValueError(f"{data} has pairs in one file and single texts in another")
    return splits


def split_texts(
    texts: Sequence[LabelledText], seed: int, shares: Sequence[float] = SHARES
) -> dict[str, list[LabelledText]]:
    """Divide texts at random into train, dev and test, a function of the seed."""
    order = np.random.default_rng(seed).permutation(len(texts))
    ends = np.round(np.cumsum(shares)[:-1] * len(texts)).astype(int)
    return {
        name: [texts[index] for index in part.tolist()]
        for name, part in zip(SPLITS, np.split(order, ends), strict=True)
    }


def read_texts(path: Path) -> list[LabelledText]:
    """Read a .tsv file, in which quotes are text, or a .csv file, in which they quote.

    A first line with a column `label` names the columns; the others, but for id, idx
    and index, are the text, or both texts of a pair. Otherwise the label comes first.

    Raises:
      ValueError: a line has another number of columns, no label or no text, and is
        named; or there are no lines.
      OSError: the file cannot be read.
    """
    rows = _tsv_rows(path) if path.suffix == ".tsv" else _csv_rows(path)
    columns: list[int] | None = None
    width = 0
    texts = []
    for number, row in rows:
        if not any(row):
            continue
        place = f"{path}, line {number}"
        if columns is None:
            width = len(row)
            columns, is_header = _columns_of(row, place)
            if is_header:
                continue
        if len(row) != width:
            raise ValueError(f"{place}: {len(row)} columns, and {width} before it")
        label, *fields = (row[column].strip() for column in columns)
        if not label:
            raise ValueError(f"{place}: no label")
        if not all(fields):
            raise ValueError(f"{place}: a text of this line is empty")
        texts.append(LabelledText(label, *fields, place=place))
    if not texts:
        raise ValueError(f"{path} has no labelled line")
    return texts


def write_texts(
    path: Path, texts: Sequence[LabelledText], predicted: Sequence[str]
) -> None:
    """Write gold label, predicted label and text as TSV, under a header.

    The table is one for csv and pandas (`embed_jax.files.separated`): unlike in the
    data, a text with quotation marks is quoted.
    """
    is_pair = texts[0].pair is not None
    header = [LABEL_COLUMN, "predicted", *(["text", "pair"] if is_pair else ["text"])]
    with open_output(path) as file:
        file.write(separated(header).encode())
        for text, label in zip(texts, predicted, strict=True):
            fields = [text.label, label, text.text, *([text.pair] if is_pair else [])]
            cells = [" ".join(str(field).split()) for field in fields]
            file.write(separated(cells).encode())


def read_pang_lee(path: Path) -> list[LabelledText]:
    """Read the zip file of sentence polarity or of subjectivity, a sentence a line.

    Raises:
      ValueError: it is not such a file.
      OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            for labels in (_POLARITY, _SUBJECTIVITY):
                found = _find_members(members, labels)
                if found:
                    return [
                        LabelledText(label, text, place=f"{path}, {member}")
                        for member, label in found.items()
                        for text in _lines_of(archive.read(member))
                    ]
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    wanted = ", ".join((*_POLARITY, *_SUBJECTIVITY))
    raise ValueError(f"{path} has none of {wanted}; unpack it and give .tsv or .csv")


def _find_file(directory: Path, name: str) -> Path:
    names = [f"{name}{suffix}" for suffix in SUFFIXES]
    present = [directory / each for each in names if (directory / each).is_file()]
    if not present:
        raise ValueError(f"{directory} has no {' or '.join(names)}")
    if len(present) > 1:
        raise ValueError(f"{directory} has {' and '.join(names)}; keep one")
    return present[0]


def _tsv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(read_lines(path), start=1):
        yield number, line.split("\t")


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((f"{line}\n" for line in read_lines(path)), strict=True)
    number = 1
    try:
        for row in reader:
            yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def _columns_of(row: Sequence[str], place: str) -> tuple[list[int], bool]:
    """Return the columns of label and texts, and whether this line is a header."""
    names = [name.strip().lower() for name in row]
    is_header = LABEL_COLUMN in names
    if is_header:
        label = names.index(LABEL_COLUMN)
        read = [i for i, name in enumerate(names) if name not in _UNREAD_COLUMNS]
        columns = [label, *(column for column in read if column != label)]
    else:
        columns = list(range(len(row)))
    if len(columns) not in (2, 3):
        raise ValueError(
            f"{place}: a label and {len(columns) - 1} texts; one text or two are read"
        )
    return columns, is_header


def _find_members(members: Sequence[str], labels: Mapping[str, str]) -> dict[str, str]:
    """Return the label of each member with texts; empty if a member is missing."""
    found = {
        member: label
        for ending, label in labels.items()
        for member in members
        if member.rsplit("/", 1)[-1] == ending
    }
    return found if len(found) == len(labels) else {}


def _lines_of(content: bytes) -> list[str]:
    lines = (line.strip() for line in content.decode("utf-8").split("\n"))
    return [line for line in lines if line]


def check_labels(splits: Mapping[str, Sequence[LabelledText]]) -> tuple[str, ...]:
    """Return the labels of the training texts, in order.

    Raises:
      ValueError: dev or test has another label, or training has fewer than two.
    """
    labels = sorted({text.label for text in splits["train"]})
    if len(labels) < 2:
        raise ValueError(f"the training texts have one label, {labels[0]!r}")
    for name, texts in splits.items():
        for text in texts:
            if text.label not in labels:
                hint = suggest(text.label, labels, "labels")
                raise ValueError(
                    f"{text.place}: label {text.label!r} of {name} is not among those "
                    f"of the training texts; {hint}"
                )
    return tuple(labels)
