# SPDX-License-Identifier: Apache-2.0
"""Rows against the slow and obvious: every word read once, from where most is seen."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.rows import Row, collate, cut_row, cut_windows, with_context

CLS, SEP, PAD = -1, -2, -3

# Pieces of each word; words without a piece among them, and giants.
lengths = st.lists(
    st.one_of(st.integers(0, 3), st.integers(0, 12), st.integers(20, 60)), max_size=40
)


def sentence_of(word_lengths, start: int = 0):
    """Return pieces that are all different, and the word of each."""
    total = sum(word_lengths)
    ids = np.arange(start, start + total, dtype=np.int32)
    words = np.arange(len(word_lengths), dtype=np.int32)
    return ids, np.repeat(words, word_lengths)


def words_of(row: Row) -> list[int]:
    """Return for each piece of a row the word of the sentence, -1 for none."""
    return [w + row.first_word if w >= 0 else -1 for w in row.word_ids.tolist()]


def test_collate_pads():
    rows = [
        Row(np.array([5, 6, 7]), np.array([-1, 0, -1]), np.array([True, True, False])),
        cut_row(np.array([8, 9, 9]), np.array([0, 0, 2]), CLS, SEP),
        Row(
            np.array([1, 2, 3, 4]),
            np.full(4, -1),
            np.ones(4, bool),
            num_first_segment=3,
        ),
    ]
    tokens = collate(rows, PAD)
    assert tokens.ids.tolist() == [
        [5, 6, 7, PAD, PAD],
        [CLS, 8, 9, 9, SEP],
        [1, 2, 3, 4, PAD],
    ]
    assert tokens.segment_ids.tolist() == [[0] * 5, [0] * 5, [0, 0, 0, 1, 0]]
    assert tokens.mask.sum(1).tolist() == [3, 5, 4]
    assert tokens.word_ids.tolist() == [
        [-1, 0, -1, -1, -1],
        [-1, 0, 0, 2, -1],
        [-1] * 5,
    ]
    assert tokens.pooled.tolist() == [
        [True, True, False, False, False],
        [True] * 5,
        [True] * 4 + [False],
    ]
    assert [a.dtype for a in tokens] == [np.int32, np.int32, bool, np.int32, bool]


def test_collate_fills_up_to_length_and_size():
    rows = [cut_row(np.array([8]), np.array([0]), CLS, SEP)]
    tokens = collate(rows, PAD, length=6, size=3)
    assert tokens.ids.shape == (3, 6)
    assert not tokens.mask[1:].any()
    assert not tokens.pooled[1:].any()
    assert (tokens.ids[1:] == PAD).all()
    assert (tokens.word_ids[1:] == -1).all()
    # `size` never takes rows away.
    assert collate(rows * 4, PAD, size=3).ids.shape == (4, 3)


def test_collate_of_nothing():
    assert collate([], PAD).ids.shape == (0, 0)
    assert collate([], PAD, length=4, size=2).ids.tolist() == [[PAD] * 4] * 2


def test_collate_refuses_a_row_that_is_too_long():
    rows = [cut_row(np.arange(4), np.arange(4), CLS, SEP)]
    with pytest.raises(ValueError, match="a row of 6 tokens does not fit into 5"):
        collate(rows, PAD, length=5)


def test_a_row_counts_words_up_to_its_last_piece():
    row = cut_row(*sentence_of([1, 0, 2, 0]), CLS, SEP)
    assert (len(row), row.first_word, row.num_words) == (5, 0, 3)
    assert row.word_ids.tolist() == [-1, 0, 2, 2, -1]
    assert row.pooled.all()
    empty = cut_row(*sentence_of([]), CLS, SEP)
    assert (empty.ids.tolist(), empty.num_words) == ([CLS, SEP], 0)


def windows_by_hand(word_lengths, max_length: int) -> list[tuple[list[int], list[int]]]:
    """Return pieces and read words of each window, straight from the description."""
    room = max_length - 2
    half = max(room // 2, 1)
    ids, word_ids = (array.tolist() for array in sentence_of(word_lengths))
    pieces = list(zip(ids, word_ids, strict=True))
    if len(pieces) > room:
        groups = itertools.groupby(pieces, lambda piece: piece[1])
        pieces = [piece for _, group in groups for piece in list(group)[:half]]
    if len(pieces) <= room:
        return [([i for i, _ in pieces], [w for _, w in pieces])]
    starts = [s for s in range(0, len(pieces), half) if s + room < len(pieces)]
    starts.append(len(pieces) - room)
    read_from = {}
    for word in {w for _, w in pieces}:
        mine = [position for position, (_, w) in enumerate(pieces) if w == word]
        sides = {
            # Pieces before the word and after it, in the window that starts there.
            start: min(mine[0] - start, start + room - 1 - mine[-1])
            for start in starts
        }
        assert max(sides.values()) >= 0
        read_from[word] = max(starts, key=lambda start: sides[start])
    return [
        (
            [i for i, _ in pieces[start : start + room]],
            [
                w if read_from[w] == start else -1
                for _, w in pieces[start : start + room]
            ],
        )
        for start in starts
    ]


def check_windows(word_lengths, max_length: int) -> None:
    ids, word_ids = sentence_of(word_lengths)
    rows = cut_windows(ids, word_ids, CLS, SEP, max_length)
    expected = windows_by_hand(word_lengths, max_length)
    assert len(rows) == len(expected)
    for row, (pieces, words) in zip(rows, expected, strict=True):
        assert len(row) <= max_length
        assert row.ids.tolist() == [CLS, *pieces, SEP]
        assert words_of(row) == [-1, *words, -1]
        assert len(row) == len(row.word_ids) == len(row.pooled)
        assert row.word_ids.max() < row.num_words or not row.num_words
        assert (row.ids.dtype, row.pooled.dtype) == (np.int32, bool)

    # Each word that has a piece is read from one row, with all the pieces it keeps.
    half = max((max_length - 2) // 2, 1)
    fits = len(ids) <= max_length - 2
    read = [(i, w) for i, row in enumerate(rows) for w in words_of(row) if w >= 0]
    for word, length in enumerate(word_lengths):
        mine = [i for i, w in read if w == word]
        assert len(set(mine)) == min(length, 1)
        assert len(mine) == (length if fits else min(length, half))

    # The results of the rows, put side by side, never overlap.
    spans = [(r.first_word, r.first_word + r.num_words) for r in rows if r.num_words]
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end <= start

    # Pooling: each piece that is read, the first [CLS], the last [SEP].
    for row in rows:
        np.testing.assert_array_equal(row.pooled[1:-1], row.word_ids[1:-1] >= 0)
    assert [row.pooled[0] for row in rows] == [True] + [False] * (len(rows) - 1)
    assert [row.pooled[-1] for row in rows] == [False] * (len(rows) - 1) + [True]
    pooled = np.concatenate([row.ids[row.pooled] for row in rows])
    assert len(set(pooled.tolist())) == len(pooled)


@given(lengths, st.integers(3, 40))
def test_windows_are_those_of_the_description(word_lengths, max_length):
    check_windows(word_lengths, max_length)


@pytest.mark.parametrize("max_length", [3, 4, 5, 6, 7, 12, 13])
@pytest.mark.parametrize(
    "word_lengths",
    [
        [],
        [0, 0],
        [1] * 30,
        [2] * 17,
        [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5],
        [500],
        [5],
        [4, 1],
        [1, 500, 1],
        [500, 500, 500],
        [0, 7, 0, 0, 7, 0],
    ],
    ids=str,
)
def test_windows_of_odd_sentences(word_lengths, max_length):
    check_windows(word_lengths, max_length)


def test_windows_by_numbers():
    rows = cut_windows(*sentence_of([1] * 9), CLS, SEP, 6)
    assert [row.ids[1:-1].tolist() for row in rows] == [
        [0, 1, 2, 3],
        [2, 3, 4, 5],
        [4, 5, 6, 7],
        [5, 6, 7, 8],
    ]
    # Of two windows that show as much, the earlier.
    assert [words_of(row)[1:-1] for row in rows] == [
        [0, 1, 2, -1],
        [-1, 3, 4, -1],
        [-1, 5, 6, -1],
        [-1, -1, 7, 8],
    ]
    assert [(row.first_word, row.num_words) for row in rows] == [
        (0, 3),
        (3, 2),
        (5, 2),
        (7, 2),
    ]


def test_three_million_pieces_take_seconds():
    ids, word_ids = sentence_of(np.random.default_rng(0).integers(0, 4, 2_000_000))
    started = time.monotonic()
    rows = cut_windows(ids, word_ids, CLS, SEP, 512)
    assert time.monotonic() - started < 20
    assert len(rows) == -(-(len(ids) - 510) // 255) + 1
    read = np.concatenate(
        [row.word_ids[row.word_ids >= 0] + row.first_word for row in rows]
    )
    np.testing.assert_array_equal(read, word_ids)


def context_by_hand(sentences, index: int, max_length: int, max_context: int):
    """Return left and right context, one piece at a time from either side."""
    mine = sentences[index]
    if not mine:
        return [], []
    left, right = [], []
    for other in reversed(sentences[:index]):
        if not other:
            break
        left = other + left
    for other in sentences[index + 1 :]:
        if not other:
            break
        right = right + other
    reach = min(max_context, max_length - 2)
    left, right = left[len(left) - min(reach, len(left)) :], right[:reach]
    num_left = num_right = 0
    for _ in range(max_length - 2 - len(mine)):
        can_left, can_right = num_left < len(left), num_right < len(right)
        if can_right and (num_right <= num_left or not can_left):
            num_right += 1
        elif can_left:
            num_left += 1
    return left[len(left) - num_left :], right[:num_right]


def make_document(counts):
    """Return sentences of so many pieces, all pieces different."""
    starts = np.cumsum([0, *counts])[:-1]
    return [
        sentence_of([1] * count, int(start))
        for start, count in zip(starts, counts, strict=True)
    ]


@given(
    st.lists(st.one_of(st.integers(0, 4), st.integers(0, 30)), max_size=15),
    st.integers(3, 24),
    st.integers(0, 30),
)
def test_context_is_that_of_the_description(counts, max_length, max_context):
    document = make_document(counts)
    pieces = [ids.tolist() for ids, _ in document]
    results = list(with_context(document, CLS, SEP, max_length, max_context))
    assert len(results) == len(document)
    for index, rows in enumerate(results):
        ids, word_ids = document[index]
        if len(ids) > max_length - 2:
            expected = cut_windows(ids, word_ids, CLS, SEP, max_length)
            for row, window in zip(rows, expected, strict=True):
                assert row.ids.tolist() == window.ids.tolist()
                assert row.word_ids.tolist() == window.word_ids.tolist()
                assert row.pooled.tolist() == window.pooled.tolist()
            continue
        left, right = context_by_hand(pieces, index, max_length, max_context)
        (row,) = rows
        own = pieces[index]
        assert row.ids.tolist() == [CLS, *left, *own, *right, SEP]
        unread = [-1] * len(left), [-1] * len(right)
        assert row.word_ids.tolist() == [
            -1,
            *unread[0],
            *range(len(own)),
            *unread[1],
            -1,
        ]
        borrowed = [False] * len(left), [False] * len(right)
        assert row.pooled.tolist() == [
            *[True, *borrowed[0]],
            *[True] * len(own),
            *[*borrowed[1], True],
        ]
        assert (row.first_word, row.num_words) == (0, len(own))
        assert row.num_first_segment is None
        assert (row.ids.dtype, row.word_ids.dtype) == (np.int32, np.int32)


def test_context_by_numbers():
    document = make_document([3, 2, 4, 0, 2, 1])
    results = list(with_context(document, CLS, SEP, 8, 2))
    assert [row.ids[1:-1].tolist() for (row,) in results] == [
        [0, 1, 2, 3, 4],
        [1, 2, 3, 4, 5, 6],
        [3, 4, 5, 6, 7, 8],
        [],
        [9, 10, 11],
        [9, 10, 11],
    ]


def test_words_without_a_piece_keep_their_index_in_context():
    document = [sentence_of([1, 1]), sentence_of([0, 2, 0, 1], 5), sentence_of([1], 9)]
    _, (row,), _ = with_context(document, CLS, SEP, 10, 10)
    assert row.ids.tolist() == [CLS, 0, 1, 5, 6, 7, 9, SEP]
    assert row.word_ids.tolist() == [-1, -1, -1, 1, 1, 3, -1, -1]
    assert row.num_words == 4


@given(st.lists(st.integers(0, 9), max_size=25), st.integers(3, 24), st.integers(0, 12))
def test_reading_ahead_keeps_its_promise(counts, max_length, max_context):
    num_read = 0

    def source():
        nonlocal num_read
        for sentence in make_document(counts):
            num_read += 1
            yield sentence

    reach = min(max_context, max_length - 2)
    allowed = 0
    for index, _ in enumerate(
        with_context(source(), CLS, SEP, max_length, max_context)
    ):
        ahead, pieces = index + 1, 0
        while ahead < len(counts) and pieces < reach:
            pieces += counts[ahead]
            ahead += 1
            if not counts[ahead - 1]:
                break
        # What was read for the sentences before is still there.
        allowed = max(allowed, ahead)
        assert num_read <= allowed


def test_nothing_is_read_before_it_is_asked_for():
    asked = []

    def source():
        for index in itertools.count():
            asked.append(index)
            yield sentence_of([1] * 5, 5 * index)

    results = with_context(source(), CLS, SEP, 512, 12)
    assert not asked
    next(results)
    assert asked == [0, 1, 2, 3]
    next(results)
    assert asked == [0, 1, 2, 3, 4]
    next(with_context(source(), CLS, SEP, 512, 0))
    assert asked[5:] == [0]


@pytest.mark.slow
@pytest.mark.parametrize("max_context", [0, 1, 10_000])
def test_memory_does_not_grow_with_the_document(max_context):
    def source(num_sentences):
        for index in range(num_sentences):
            yield sentence_of([1] * (300 if index % 50 == 7 else 20))

    def peak(num_sentences):
        tracemalloc.start()
        for _ in with_context(source(num_sentences), CLS, SEP, 128, max_context):
            pass
        traced = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return traced

    # The least of three: whatever else the process allocates meanwhile counts too. It
    # takes long to trace, so it stops where the rest cannot change the answer.
    short = min(peak(100) for _ in range(3))
    assert any(peak(400) < 1.3 * short for _ in range(3))
