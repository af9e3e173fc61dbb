# SPDX-License-Identifier: Apache-2.0
"""Rows, the encoder's input sequences, made of sentences of any length.

A sentence that fits is one row. A longer one becomes overlapping windows, and each of
its words is taken from the window with the most context around it. Neighbouring
sentences may be added as context, for which no vectors are returned.
"""

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int

from bert_jax.tokens import BertTokens


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row of a batch.

    Attributes:
      ids: the pieces with specials, int32.
      word_ids: for each piece the index of its word, counted from `first_word`, or -1
        for pieces that are not taken from this row.
      pooled: True at pieces that count for the vector of the sentence.
      first_word: index in the sentence of the row's word 0.
      num_words: number of words taken from this row.
      num_first_segment: pieces of segment 0; the rest is segment 1. None: all.
    """

    ids: Int[np.ndarray, " T"]
    word_ids: Int[np.ndarray, " T"]
    pooled: Bool[np.ndarray, " T"]
    first_word: int = 0
    num_words: int = 0
    num_first_segment: int | None = None

    def __len__(self) -> int:
        """Length in tokens."""
        return len(self.ids)


def collate(
    rows: Sequence[Row], pad_id: int, *, length: int | None = None, size: int = 0
) -> BertTokens:
    """Pad rows into a batch.

    Args:
      rows: the rows.
      pad_id: the padding piece.
      length: tokens a row of the batch; by default those of the longest row.
      size: minimal number of rows; additional ones are all padding.

    Returns:
      NumPy tokens `[rows, length]`.

    Raises:
      ValueError: a row is longer than `length`.
    """
    longest = max(map(len, rows), default=0)
    length = longest if length is None else length
    if longest > length:
        raise ValueError(f"a row of {longest} tokens does not fit into {length}")
    shape = (max(len(rows), size), length)
    ids = np.full(shape, pad_id, np.int32)
    segment_ids = np.zeros(shape, np.int32)
    mask = np.zeros(shape, bool)
    word_ids = np.full(shape, -1, np.int32)
    pooled = np.zeros(shape, bool)
    for index, row in enumerate(rows):
        end = len(row)
        ids[index, :end] = row.ids
        mask[index, :end] = True
        word_ids[index, :end] = row.word_ids
        pooled[index, :end] = row.pooled
        if row.num_first_segment is not None:
            segment_ids[index, row.num_first_segment : end] = 1
    return BertTokens(ids, segment_ids, mask, word_ids, pooled)


def cut_row(
    ids: Int[np.ndarray, " T"],
    word_ids: Int[np.ndarray, " T"],
    cls_id: int,
    sep_id: int,
) -> Row:
    """Return the row of a sentence that fits: `[CLS] pieces [SEP]`."""
    return Row(
        ids=np.concatenate([[cls_id], ids, [sep_id]]).astype(np.int32),
        word_ids=np.concatenate([[-1], word_ids, [-1]]).astype(np.int32),
        pooled=np.ones(len(ids) + 2, bool),
        num_words=int(word_ids[-1]) + 1 if len(word_ids) else 0,
    )


def cut_windows(
    ids: Int[np.ndarray, " T"],
    word_ids: Int[np.ndarray, " T"],
    cls_id: int,
    sep_id: int,
    max_length: int,
) -> list[Row]:
    """Cut a sentence that is too long for a row into windows that overlap by half.

    Each word is taken from the window that maximises the smaller of its left and right
    contexts (Devlin's advice for long input, google-research/bert#66). For the vector
    of the sentence every piece counts once, and the outermost specials. A word longer
    than half a window loses its pieces beyond half a window.

    Args:
      ids: pieces without specials.
      word_ids: for each piece the index of its word.
      cls_id: the piece that opens a row.
      sep_id: the piece that closes a row.
      max_length: longest row in tokens, specials included.

    Returns:
      The rows, in order; every word is taken from one of them.
    """
    room = max_length - 2
    stride = max(room // 2, 1)
    if len(ids) > room:
        ids, word_ids = _trim_giant_words(ids, word_ids, stride)
    if len(ids) <= room:
        return [cut_row(ids, word_ids, cls_id, sep_id)]
    starts = np.append(np.arange(0, len(ids) - room, stride), len(ids) - room)
    owner = _best_window(word_ids, starts, room)
    rows = []
    for window, start in enumerate(starts.tolist()):
        inside = slice(start, start + room)
        mine = owner[inside] == window
        kept = word_ids[inside][mine]
        first_word = int(kept[0]) if len(kept) else 0
        local = np.where(mine, word_ids[inside] - first_word, -1)
        is_first, is_last = window == 0, window == len(starts) - 1
        rows.append(
            Row(
                ids=np.concatenate([[cls_id], ids[inside], [sep_id]]).astype(np.int32),
                word_ids=np.concatenate([[-1], local, [-1]]).astype(np.int32),
                pooled=np.concatenate([[is_first], mine, [is_last]]),
                first_word=first_word,
                num_words=int(kept[-1]) - first_word + 1 if len(kept) else 0,
            )
        )
    return rows


def _trim_giant_words(
    ids: Int[np.ndarray, " T"], word_ids: Int[np.ndarray, " T"], limit: int
) -> tuple[Int[np.ndarray, " S"], Int[np.ndarray, " S"]]:
    """Keep the first `limit` pieces of each word, so that it fits in a window."""
    starts = np.searchsorted(word_ids, word_ids, side="left")
    kept = np.arange(len(word_ids)) - starts < limit
    return ids[kept], word_ids[kept]


def _best_window(
    word_ids: Int[np.ndarray, " T"], starts: Int[np.ndarray, " R"], room: int
) -> Int[np.ndarray, " T"]:
    """Return for each piece the window that its word is taken from.

    That is the window whose middle is nearest to the word's; of two equally near, the
    earlier. Positions are in quarters of a piece.
    """
    first = np.searchsorted(word_ids, word_ids, side="left")
    end = np.searchsorted(word_ids, word_ids, side="right")
    middles = 2 * starts + room
    return np.searchsorted(middles[:-1] + middles[1:], 2 * (first + end), side="left")


def with_context(
    sentences: Iterable[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]],
    cls_id: int,
    sep_id: int,
    max_length: int,
    max_context: int,
) -> Iterator[list[Row]]:
    """Make rows of sentences with neighbouring sentences as context.

    The space that a sentence leaves in a row is filled with the pieces before and after
    it, in equal shares as far as both sides have them. A sentence without pieces (a
    blank line) ends a document; context does not cross it. Sentences too long for a row
    are cut into windows without context.

    Args:
      sentences: pieces and word indices of each sentence, in reading order.
      cls_id: the piece that opens a row.
      sep_id: the piece that closes a row.
      max_length: longest row in tokens, specials included.
      max_context: maximal pieces of context on each side.

    Yields:
      The rows of each sentence, in order. Reads ahead only to the sentence that
      completes `max_context` pieces, and not past the end of the document.
    """
    reach = min(max_context, max_length - 2)
    before = np.zeros(0, np.int32)
    ahead: deque[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]] = deque()
    source = iter(sentences)
    exhausted = False
    while True:
        while not exhausted and _right_is_open(ahead, reach):
            following = next(source, None)
            if following is None:
                exhausted = True
            else:
                ahead.append(following)
        if not ahead:
            return
        ids, word_ids = ahead.popleft()
        if len(ids) > max_length - 2:
            yield cut_windows(ids, word_ids, cls_id, sep_id, max_length)
        else:
            row = cut_row(ids, word_ids, cls_id, sep_id)
            if len(ids) and reach:
                # Nothing beyond the end of the document has been read yet.
                right = np.concatenate([ids[:0], *(later for later, _ in ahead)])
                row = _surround(row, before, right[:reach], max_length)
            yield [row]
        before = np.concatenate([before, ids]) if len(ids) else ids
        before = before[max(len(before) - reach, 0) :]


def _right_is_open(
    ahead: deque[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]], reach: int
) -> bool:
    """Return whether the right context of the first sentence could still grow."""
    if not ahead:
        return True
    later = [ids for ids, _ in ahead][1:]
    ended = any(not len(ids) for ids in later)
    return not ended and sum(map(len, later)) < reach


def _surround(
    row: Row,
    left: Int[np.ndarray, " _"],
    right: Int[np.ndarray, " _"],
    max_length: int,
) -> Row:
    """Put context between the specials and the sentence, as much as fits."""
    room = max_length - len(row)
    num_left = min(len(left), max(room // 2, room - len(right)))
    num_right = min(len(right), room - num_left)
    left, right = left[len(left) - num_left :], right[:num_right]

    def widen(values: np.ndarray, at_left: np.ndarray, at_right: np.ndarray):
        parts = [values[:1], at_left, values[1:-1], at_right, values[-1:]]
        return np.concatenate(parts).astype(values.dtype)

    unread_left, unread_right = np.full(num_left, -1), np.full(num_right, -1)
    return dataclasses.replace(
        row,
        ids=widen(row.ids, left, right),
        word_ids=widen(row.word_ids, unread_left, unread_right),
        pooled=widen(row.pooled, unread_left >= 0, unread_right >= 0),
    )
