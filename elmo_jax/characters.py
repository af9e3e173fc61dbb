# SPDX-License-Identifier: Apache-2.0
"""Words as rows of character ids (UTF-8 bytes and marks), exactly as in bilm-tf.

Two numberings are in use. bilm-tf trains with 261 symbols, 0 to 260, in which a byte is
its own id. At inference, and in AllenNLP, each id is one higher, and 0 is padding of
words. The rows here have the second numbering; subtract 1 for the first.
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
    """Convert words to character ids: a begin mark, UTF-8 bytes, an end mark, padding.

    Bytes beyond `max_characters - 2` are cut off, even within a letter. Lone
    surrogates, which UTF-8 cannot represent, are left out.

    Args:
      words: the words; `<S>` and `</S>` are the boundaries of a sentence.
      max_characters: longest word with its two marks.
      length: C, by default `max_characters`.

    Returns:
      Character ids of the inference numbering, int32.

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


def spelled_words(rows: Int[np.ndarray, "U C"]) -> list[str]:
    """Return the words that rows of characters spell, as far as these were not cut.

    Example:
      >>> spelled_words(character_rows(["at", "<S>", "cafe"], max_characters=5))
      ['at', '<S>', 'caf']
    """
    boundaries = {symbol: token for token, symbol in _BOUNDARIES.items()}
    words = []
    for row in rows.tolist():
        if row[1] in boundaries:
            words.append(boundaries[row[1]])
            continue
        spelled = bytes(symbol - 1 for symbol in row if 0 < symbol < BEGIN_SENTENCE)
        words.append(spelled.decode("utf-8", "replace"))
    return words


def sufficient_length(words: Sequence[str], max_characters: int, max_width: int) -> int:
    """Return a row length that gives the same vectors as `max_characters`.

    All windows of padding only are equal, so one of them is enough for the maximum. The
    length is thus that of the longest word, its marks and the widest filter.

    Example:
      >>> sufficient_length(["a", "bank"], 50, 7)
      13
    """
    # A character is at most four bytes; not spelled twice only to be measured.
    longest = max((len(word.encode("utf-8", "ignore")) for word in words), default=0)
    return min(max_characters, longest + 2 + max_width)
