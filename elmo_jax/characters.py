# SPDX-License-Identifier: Apache-2.0
"""Words as rows of characters, which are bytes, exactly as bilm-tf published them.

Two numberings are in use. bilm-tf trains with 261 symbols, 0 to 260: a byte is itself.
At inference, and in AllenNLP, each is one higher, and 0 means "no word here". The rows
here are of the second kind; subtract 1 for the first.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

# One above the numbers of training.
BEGIN_SENTENCE, END_SENTENCE = 257, 258
BEGIN_WORD, END_WORD = 259, 260
PADDING = 261

BEGIN_TOKEN, END_TOKEN = "<S>", "</S>"

# What a boundary holds in place of bytes. A literal "<S>" in a text is one too.
_BOUNDARIES = {BEGIN_TOKEN: BEGIN_SENTENCE, END_TOKEN: END_SENTENCE}


def character_rows(
    words: Sequence[str], max_characters: int = 50, length: int | None = None
) -> Int[np.ndarray, "U C"]:
    """Spell words: a mark, their UTF-8 bytes, a mark, and padding characters.

    Bytes beyond `max_characters - 2` are cut off, in the middle of a letter if need be.
    Lone surrogates, which UTF-8 lacks, are left out.

    Args:
      words: the words; `<S>` and `</S>` are the boundaries of a sentence.
      max_characters: longest word with its two marks.
      length: C, by default `max_characters`.

    Returns:
      Characters of the inference numbering, int32.

    Example:
      >>> character_rows(["at", "<S>"], length=5).tolist()
      [[259, 98, 117, 260, 261], [259, 257, 260, 261, 261]]
    """
    rows = np.full((len(words), length or max_characters), PADDING, np.int32)
    for row, word in zip(rows, words, strict=True):
        if word in _BOUNDARIES:
            row[:3] = BEGIN_WORD, _BOUNDARIES[word], END_WORD
            continue
        spelled = word.encode("utf-8", "ignore")[: max_characters - 2]
        end = len(spelled) + 1
        row[0], row[end] = BEGIN_WORD, END_WORD
        row[1:end] = np.frombuffer(spelled, np.uint8)
        row[1:end] += 1
    return rows


def sufficient_length(words: Sequence[str], max_characters: int, max_width: int) -> int:
    """Return a length of rows that gives the same vectors as `max_characters`.

    Every window of padding characters alone is the same window, so that one of them
    will do for the maximum: the longest word, its marks and the widest filter.

    Example:
      >>> sufficient_length(["a", "bank"], 50, 7)
      13
    """
    # A character is at most four bytes; not spelled twice only to be measured.
    longest = max((len(word.encode("utf-8", "ignore")) for word in words), default=0)
    return min(max_characters, longest + 2 + max_width)
