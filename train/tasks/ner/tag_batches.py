# SPDX-License-Identifier: Apache-2.0
"""Packing of tagged sentences into rows of one length, and batches of the rows."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from train.data.packing import pack

PADDING = -1


class TagRows(NamedTuple):
    """Rows of sentences, on the host.

    Attributes:
      words: index of each word's row of features; 0 at padding.
      tags: the tags to predict; `PADDING` where there is no word.
      first: True at the first word of a sentence.
      last: True at the last word of a sentence.
    """

    words: Int[np.ndarray, "*B T"]
    tags: Int[np.ndarray, "*B T"]
    first: Bool[np.ndarray, "*B T"]
    last: Bool[np.ndarray, "*B T"]


def lay_rows(
    offsets: Int[np.ndarray, " boundaries"],
    tags: Int[np.ndarray, " words"],
    order: Int[np.ndarray, " N"],
    row_length: int,
    sentences_a_row: int | None = None,
) -> TagRows:
    """Pack sentences into rows.

    Args:
      offsets: the first word of each sentence, and the number of words.
      tags: of all words.
      order: of the sentences.
      row_length: words of a row; no sentence is longer.
      sentences_a_row: maximal sentences of a row.

    Returns:
      Arrays `[rows, row_length]`.

    Example:
      >>> rows = lay_rows(np.array([0, 2, 5]), np.arange(5), np.array([1, 0]), 5)
      >>> rows.words.tolist(), rows.last[0].tolist()
      ([[2, 3, 4, 0, 1]], [False, False, True, False, True])
    """
    starts, lengths = offsets[order], np.diff(offsets)[order]
    row_of = pack(lengths, row_length, sentences_a_row or row_length)
    num_rows = int(row_of.max(initial=-1)) + 1
    shape = (num_rows, row_length)
    rows = TagRows(
        np.zeros(shape, np.int32),
        np.full(shape, PADDING, np.int32),
        np.zeros(shape, bool),
        np.zeros(shape, bool),
    )
    filled = np.zeros(num_rows, np.int64)
    for row, start, length in zip(
        row_of.tolist(), starts.tolist(), lengths.tolist(), strict=True
    ):
        begin = filled[row]
        end = filled[row] = begin + length
        rows.words[row, begin:end] = np.arange(start, start + length)
        rows.tags[row, begin:end] = tags[start : start + length]
        rows.first[row, begin] = rows.last[row, end - 1] = True
    return rows


def batches(rows: Sequence[TagRows], batch_size: int) -> Iterator[TagRows]:
    """Divide the rows of several seeds into batches.

    Args:
      rows: of each seed; seeds with fewer rows get empty ones at the end.
      batch_size: rows of a batch.

    Yields:
      Arrays `[seeds, batch_size, T]`.
    """
    longest = max(len(each.words) for each in rows)
    total = -(-longest // batch_size) * batch_size
    padded = [_with_empty_rows(each, total) for each in rows]
    stacked = TagRows(*map(np.stack, zip(*padded, strict=True)))
    for start in range(0, total, batch_size):
        yield TagRows(*(part[:, start : start + batch_size] for part in stacked))


def _with_empty_rows(rows: TagRows, total: int) -> TagRows:
    missing = ((0, total - len(rows.words)), (0, 0))
    return TagRows(
        np.pad(rows.words, missing),
        np.pad(rows.tags, missing, constant_values=PADDING),
        np.pad(rows.first, missing),
        np.pad(rows.last, missing),
    )
