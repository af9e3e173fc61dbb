# SPDX-License-Identifier: Apache-2.0
"""Word vectors: which occurrences of a word are used alike?

    python examples/word_neighbours.py MODEL

MODEL is anything `bert_jax.load` reads, such as the id of a BERT on the Hugging Face
hub. Without it a tiny BERT with random weights shows that the program runs; its
neighbours mean nothing.
"""

import dataclasses
import string
import sys

import jax
import numpy as np

import bert_jax

WORD = "bank"
SENTENCES = [
    "The boat was moored at the bank of the river.",
    "They sat on the bank and watched the water.",
    "The bank raised its interest rates.",
    "She paid the money into the bank.",
]


def tiny_model() -> tuple[bert_jax.BertParams, bert_jax.Tokenizer]:
    """Make a BERT with random weights, whose word pieces are letters."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{letter}" for letter in letters]
    tokenizer = bert_jax.WordPieceTokenizer.from_vocab(pieces, max_length=64)
    config = dataclasses.replace(bert_jax.TINY, vocab_size=len(pieces))
    return bert_jax.init_params(jax.random.key(0), config), tokenizer


def main(model: str | None = None) -> None:
    """Embed the sentences and print each occurrence with the nearest other one."""
    params, tokenizer = bert_jax.load(model) if model else tiny_model()

    # With words given as a list, word i of the sentence is row i of its vectors.
    words = [sentence.rstrip(".").lower().split() for sentence in SENTENCES]
    vectors = bert_jax.embed_words(params, tokenizer, words, "mean(all)")
    contexts = np.stack(
        [rows[ws.index(WORD)] for rows, ws in zip(vectors, words, strict=True)]
    )

    unit = contexts / np.linalg.norm(contexts, axis=1, keepdims=True)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -1)  # not itself
    for sentence, row in zip(SENTENCES, similarities, strict=True):
        print(f"{sentence}\n    {row.max():.2f}  {SENTENCES[row.argmax()]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
