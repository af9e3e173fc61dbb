# SPDX-License-Identifier: Apache-2.0
"""Sentences in, tokens out: the words of a batch, each distinct one spelled once."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int
from sacremoses import MosesTokenizer

from elmo_jax.characters import (
    BEGIN_TOKEN,
    END_TOKEN,
    character_rows,
    sufficient_length,
)
from elmo_jax.config import ElmoConfig
from elmo_jax.tokens import BEGIN, END, ElmoTokens
from elmo_jax.vocabulary import Vocabulary
from embed_jax.checks import at_least
from embed_jax.corpus.sentences import Sentence, check_sentences


def split_words(text: str) -> list[str]:
    """Split raw text as the corpus of the published English weights is split.

    The 1 Billion Word Benchmark was tokenised by Moses' script; so is this.

    Example:
      >>> split_words("She didn't like the U.S. bank.")
      ['She', 'didn', "'t", 'like', 'the', 'U.S.', 'bank', '.']
    """
    return list(_moses().tokenize(text, escape=False))


@functools.cache
def _moses() -> MosesTokenizer:
    return MosesTokenizer("en")


class ElmoTokenizer:
    """Words to what the model reads: rows of characters, or rows of its word table.

    Attributes:
      config: of the model it belongs to.
      vocabulary: the words of a word table or of a softmax; None where only characters
        are read.
      split: splits raw text into words. Text whose words are split already is given as
        lists of words, which stay as they are.
      max_length: 0; how much of its neighbours a sentence can be shown.
    """

    max_length = 0

    def __init__(
        self,
        config: ElmoConfig,
        vocabulary: Vocabulary | None = None,
        split: Callable[[str], list[str]] = split_words,
    ) -> None:
        """Make the tokeniser of a model.

        Raises:
          ValueError: a word table without its vocabulary, or of another size.
        """
        if config.char_cnn is None:
            if vocabulary is None:
                raise ValueError(
                    f"the model reads {config.vocab_size} words by their ids; "
                    "pass the vocabulary that it was trained with"
                )
            if len(vocabulary) != config.vocab_size:
                raise ValueError(
                    f"the vocabulary has {len(vocabulary)} words, the model's table "
                    f"{config.vocab_size}; they do not belong together"
                )
        self.config = config
        self.vocabulary = vocabulary
        self.split = split

    def __call__(
        self, sentences: Sequence[Sentence], *, pad_to: int | None = None
    ) -> ElmoTokens:
        """Turn sentences into one batch, a sentence a row.

        Args:
          sentences: each a str, which is split into words, or a list of words.
          pad_to: T; by default the words of the longest sentence, and at least 1.

        Returns:
          NumPy tokens. Boundaries are no positions: position t is word t.

        Raises:
          ValueError: a single str instead of a list, or a sentence over `pad_to`.
        """
        rows = [self.words(sentence) for sentence in check_sentences(sentences)]
        at_least("pad_to", pad_to, 1)
        longest = max(map(len, rows), default=0)
        length = max(longest, 1) if pad_to is None else pad_to
        if longest > length:
            raise ValueError(
                f"a sentence of {longest} words does not fit into {length}"
            )
        types = {BEGIN_TOKEN: BEGIN, END_TOKEN: END}
        words = np.zeros((len(rows), length), np.int32)
        for row, sentence in zip(words, rows, strict=True):
            row[: len(sentence)] = [
                types.setdefault(word, len(types)) for word in sentence
            ]
        lengths = np.array([len(row) for row in rows], np.int32)[:, None]
        positions = np.arange(length)[None]
        return ElmoTokens(
            types=self.encode_types(list(types)),
            words=words,
            mask=positions < lengths,
            starts=(positions == 0) & (lengths > 0),
            ends=positions == lengths - 1,
        )

    def words(self, sentence: Sentence) -> list[str]:
        """Return the words of a sentence; those of a list are what they are."""
        if isinstance(sentence, str):
            return self.split(sentence)
        return list(sentence)

    def encode_types(self, words: Sequence[str]) -> Int[np.ndarray, "U ..."]:
        """Return what the model reads for each word: characters, or a table's row.

        Rows of characters are cut to a length that gives the same vectors.
        """
        char_cnn = self.config.char_cnn
        if char_cnn is None:
            assert self.vocabulary is not None  # __init__ saw to it
            return self.vocabulary.encode(words)
        length = sufficient_length(words, char_cnn.max_characters, char_cnn.max_width)
        return character_rows(words, char_cnn.max_characters, length)
