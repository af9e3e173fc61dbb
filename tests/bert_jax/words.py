# SPDX-License-Identifier: Apache-2.0
"""A tiny model: a hundred pieces, enough for the tests' sentences, and a shape."""

from bert_jax import BertConfig, WordPieceTokenizer

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

CONFIG = BertConfig(
    vocab_size=len(WORDS),
    num_blocks=2,
    num_heads=2,
    layer_dim=16,
    mlp_dim=32,
    max_positions=40,
    init_std=0.3,
)


def make_tokenizer(max_length: int = 40) -> WordPieceTokenizer:
    return WordPieceTokenizer.from_vocab(WORDS, max_length=max_length)
