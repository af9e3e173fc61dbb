# SPDX-License-Identifier: Apache-2.0
"""The type of a sentence, as every tokeniser takes it."""

from collections.abc import Sequence

Sentence = str | Sequence[str]
"""Raw text, or words that are already split."""


def check_sentences(sentences: Sequence[Sentence]) -> Sequence[Sentence]:
    """Refuse a bare str, which would be read as a list of one-letter sentences."""
    if isinstance(sentences, str):
        raise ValueError("pass a list of sentences, not one str: [sentence]")
    return sentences
