# SPDX-License-Identifier: Apache-2.0
"""Random text of a natural shape, as prepared stores, for benchmarks.

Sentences of 5 to 45 words, 20 of them a document, words by Zipf's law and of 1 to 12
letters. What the text says does not change how long a step takes.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from elmo_jax.characters import character_rows
from elmo_jax.vocabulary import SPECIALS, Vocabulary
from train.families.bert.pieces import PieceStore
from train.families.elmo.words import WordStore

NOWHERE = Path("random text")
_SENTENCES_A_DOCUMENT = 20


def random_word_store(num_tokens: int, vocab_size: int, seed: int = 0) -> WordStore:
    """Return sentences of word types, every type in the vocabulary."""
    rng = np.random.default_rng(seed)
    num_types = vocab_size - len(SPECIALS)
    words = [f"{_letters(rng)}{index}" for index in range(num_types)]
    counts = (0,) * vocab_size
    return WordStore(
        NOWHERE,
        *_sentences(rng, num_tokens, num_types),
        targets=np.arange(len(SPECIALS), vocab_size, dtype=np.int32),
        characters=character_rows(words).astype(np.uint16),
        vocabulary=Vocabulary((*SPECIALS, *words), counts),
    )


def random_piece_store(num_tokens: int, vocab_size: int, seed: int = 0) -> PieceStore:
    """Return sentences of word pieces; a third of the pieces go on with a word."""
    rng = np.random.default_rng(seed)
    tokens, sentence_starts, document_starts = _sentences(
        rng, num_tokens, vocab_size - 5
    )
    specials = SimpleNamespace(pad_id=0, cls_id=2, sep_id=3)
    return PieceStore(
        NOWHERE,
        tokens + np.uint16(5),
        sentence_starts,
        document_starts,
        continues=rng.random(vocab_size) < 1 / 3,
        tokenizer=cast(Any, specials),
        mask_id=4,
    )


def _sentences(
    rng: np.random.Generator, num_tokens: int, num_types: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ranks = np.exp(rng.random(num_tokens) * np.log(num_types + 1)) - 1
    tokens = np.minimum(ranks, num_types - 1).astype(np.uint16)
    lengths = rng.integers(5, 46, num_tokens // 25)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    starts = starts[starts <= num_tokens]
    documents = np.arange(0, len(starts) - 1, _SENTENCES_A_DOCUMENT)
    documents = np.append(documents, len(starts) - 1)
    return tokens[: starts[-1]], starts, documents


def _letters(rng: np.random.Generator) -> str:
    letters = rng.integers(ord("a"), ord("z") + 1, rng.integers(1, 9))
    return "".join(map(chr, letters))
