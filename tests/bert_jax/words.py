# SPDX-License-Identifier: Apache-2.0
"""A vocabulary of a hundred pieces, enough for the tests' sentences."""

from bert_jax import WordPieceTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *".,!?'-",
    *[
        "the",
        "bank",
        "river",
        "of",
        "money",
        "ran",
        "down",
        "by",
        "deep",
        "is",
        "##ing",
        "##ed",
        "water",
        "we",
        "sat",
    ],
]


def make_tokenizer(max_length: int = 40) -> WordPieceTokenizer:
    return WordPieceTokenizer.from_vocab(WORDS, max_length=max_length)
