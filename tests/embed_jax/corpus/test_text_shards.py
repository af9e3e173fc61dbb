# SPDX-License-Identifier: Apache-2.0
"""Shares of a text: all lines, each once, in order, about as many bytes each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embed_jax.corpus import text_shards
from embed_jax.corpus.text_shards import LineMarks

any_lengths = st.lists(st.integers(1, 300), max_size=200)


def mark(lengths: list[int]) -> LineMarks:
    marks = LineMarks()
    for length in lengths:
        marks.add(length)
    return marks


@given(lengths=any_lengths, count=st.integers(1, 20))
def test_a_line_is_in_the_share_where_its_first_byte_lies(lengths, count):
    owned = [[] for _ in range(count)]
    begin = 0
    for line, length in enumerate(lengths):
        # The largest share that does not begin after the line does.
        owned[begin * count // sum(lengths)].append(line)
        begin += length
    marks = mark(lengths)
    assert [list(marks.share(index, count)) for index in range(count)] == owned


@given(
    lengths=any_lengths, count=st.integers(1, 20), num_marks=st.sampled_from([4, 16])
)
def test_few_marks_divide_a_long_text(lengths, count, num_marks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_shards, "NUM_MARKS", num_marks)
        marks = mark(lengths)
    assert len(marks.marks) <= 2 * num_marks
    lines = []
    for index in range(count):
        share = marks.share(index, count)
        lines += share
        size = sum(lengths[line] for line in share)
        grain = sum(lengths) / num_marks
        assert size <= sum(lengths) / count + max(lengths, default=0) + grain
    assert lines == list(range(len(lengths)))


def test_a_share_that_is_none_is_refused():
    for index, count in ((-1, 2), (2, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"share {index} is not one of"):
            mark([3, 4]).share(index, count)


def test_lines_without_bytes_are_in_a_share_too():
    marks = LineMarks()
    for length in (9, 0, 0):
        marks.add(length)
    assert marks.share(0, 1) == range(3)
    shares = [marks.share(index, 2) for index in range(2)]
    assert [line for share in shares for line in share] == [0, 1, 2]
