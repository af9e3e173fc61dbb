# SPDX-License-Identifier: Apache-2.0
"""Small stores of words and of pieces, held in memory."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bert_jax.tokenizer import SPECIALS, WordPieceTokenizer
from elmo_jax.characters import character_rows
from elmo_jax.vocabulary import Vocabulary
from train.families.bert.pieces import PieceStore, continuing_pieces
from train.families.elmo.words import WordStore, by_frequency, make_vocabulary

NOWHERE = Path("nowhere")
LETTERS = "abcdefghijklm"
PIECES = (*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS))
WORDS = "the a bank river of money walks sleeps and . , its old".split()


def starts_of(lengths: Iterable[int]) -> np.ndarray:
    return np.cumsum([0, *lengths]).astype(np.int64)


def word_store(
    documents: Sequence[Sequence[Sequence[str]]],
    vocabulary: Vocabulary | None = None,
    *,
    vocab_size: int = 1000,
    max_characters: int = 12,
) -> WordStore:
    """Number the words of documents as `train.families.elmo.words` does."""
    sentences = [sentence for document in documents for sentence in document]
    counts: dict[str, int] = {}
    for word in (word for sentence in sentences for word in sentence):
        counts[word] = counts.get(word, 0) + 1
    types = by_frequency(counts)
    ids = {word: index for index, word in enumerate(types)}
    if vocabulary is None:
        vocabulary = make_vocabulary(counts, len(sentences), vocab_size, 1)
    return WordStore(
        path=NOWHERE,
        tokens=np.array([ids[w] for s in sentences for w in s], np.uint16),
        sentence_starts=starts_of(map(len, sentences)),
        document_starts=starts_of(map(len, documents)),
        targets=vocabulary.encode(types),
        characters=character_rows(types, max_characters).astype(np.uint16),
        vocabulary=vocabulary,
    )


def piece_store(documents: Sequence[Sequence[Sequence[int]]]) -> PieceStore:
    """Hold documents of sentences of ids, which are below `len(PIECES)`."""
    sentences = [sentence for document in documents for sentence in document]
    tokenizer = WordPieceTokenizer.from_vocab(PIECES)
    assert tokenizer.mask_id is not None
    return PieceStore(
        path=NOWHERE,
        tokens=np.array([i for s in sentences for i in s], np.uint16),
        sentence_starts=starts_of(map(len, sentences)),
        document_starts=starts_of(map(len, documents)),
        continues=continuing_pieces(tokenizer),
        tokenizer=tokenizer,
        mask_id=tokenizer.mask_id,
    )


def draw_words(
    seed: int = 0, num_sentences: int = 60, longest: int = 14
) -> list[list[str]]:
    """Draw sentences, the first words most often, and one word is out of vocabulary."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, len(WORDS) + 1)
    return [
        rng.choice(WORDS, rng.integers(1, longest), p=chances / chances.sum()).tolist()
        for _ in range(num_sentences)
    ]


def draw_pieces(
    seed: int = 0, num_documents: int = 12, most: int = 9, longest: int = 12
) -> list[list[list[int]]]:
    """Draw documents whose sentences begin with a word and go on with any piece."""
    rng = np.random.default_rng(seed)
    first, last = len(SPECIALS), len(PIECES)

    def sentence() -> list[int]:
        rest = rng.integers(first, last, rng.integers(0, longest)).tolist()
        return [int(rng.integers(first, first + len(LETTERS))), *rest]

    return [
        [sentence() for _ in range(rng.integers(2, most))] for _ in range(num_documents)
    ]
