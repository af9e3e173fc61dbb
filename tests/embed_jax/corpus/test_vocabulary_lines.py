# SPDX-License-Identifier: Apache-2.0
"""The lines of a vocabulary: what ends one, and what none can hold."""

import pytest

from embed_jax.corpus.vocabulary_lines import vocabulary_lines


def test_line_feeds_end_lines_and_other_separators_are_words():
    content = "\ufeffthe\r\nbank\n\u2028\n".encode()
    assert vocabulary_lines(content, "vocab.txt") == ["the", "bank", "\u2028"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"the\nba\0k\n", r"vocab\.txt, line 2 holds a NUL"),
        (b"the\n\xff\n", r"vocab\.txt, line 2 is not UTF-8"),
        ("the\nbank\n".encode("utf-16-le"), "UTF-16 without a mark"),
    ],
)
def test_what_no_vocabulary_holds_is_refused_by_its_line(content, said):
    with pytest.raises(ValueError, match=said):
        vocabulary_lines(content, "vocab.txt")


@pytest.mark.parametrize(
    ("end", "is_said"), [(b"\n", False), (b"\r\n", False), (b"", True)]
)
def test_a_last_line_without_an_end_may_be_cut(end, is_said, caplog):
    assert vocabulary_lines(b"the\nban" + end, "vocab.txt") == ["the", "ban"]
    assert ("vocab.txt ends within a line, 'ban'" in caplog.text) == is_said
    assert len(caplog.messages) == is_said
