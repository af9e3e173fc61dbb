# SPDX-License-Identifier: Apache-2.0
"""Where the words of split text are divided, and when two of them are the same."""

import unicodedata

from embed_jax.corpus.sentences import Sentence


def split_at_spaces(text: str) -> list[str]:
    r"""Return the words of text that is already split: at white space of any kind.

    Tabs, no-break and ideographic spaces divide words as the space does, one or many,
    so that no word is empty or holds a blank.

    Example:
      >>> split_at_spaces("The\tbank  of\u3000the\xa0river ")
      ['The', 'bank', 'of', 'the', 'river']
    """
    return text.split()


def text_of(sentence: Sentence) -> str:
    """Return a sentence as text; words that are already split are joined by spaces."""
    return sentence if isinstance(sentence, str) else " ".join(sentence)


def same_form(word: str, *, ignore_case: bool = True) -> str:
    r"""Return a form that is equal for spellings of the same word.

    A letter with its mark is the same as one character (é) or as two (e and U+0301).

    Args:
      word: the word, or text of any length.
      ignore_case: whether upper and lower case are the same too.

    Example:
      >>> same_form("cafe\u0301") == same_form("CAF\xc9") == "caf\xe9"
      True
    """
    if word.isascii():
        return word.casefold() if ignore_case else word
    composed = unicodedata.normalize("NFC", word)
    if not ignore_case:
        return composed
    # Case folding may take a character apart.
    return unicodedata.normalize("NFC", composed.casefold())
