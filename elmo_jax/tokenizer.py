# SPDX-License-Identifier: Apache-2.0
"""The tokeniser of ELMo: sentences to a batch of words."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from elmo_jax.characters import (
    BEGIN_TOKEN,
    END_TOKEN,
    character_rows,
    sufficient_length,
)
from elmo_jax.config import ElmoConfig
from elmo_jax.text_reader import split_like_moses
from elmo_jax.tokens import BEGIN, END, ElmoTokens
from elmo_jax.vocabulary import Vocabulary
from embed_jax.checks import at_least
from embed_jax.corpus.combining import MARK
from embed_jax.corpus.sentences import Sentence, check_sentences


def split_words(text: str) -> list[str]:
    """Split raw text into words like the corpus of the published English weights.

    Follows Moses' tokeniser script, which the 1 Billion Word Benchmark used; but a mark
    stays on its letter, where that script makes "cafe" and an accent of "café" if both
    are characters of their own.

    Example:
      >>> split_words("She didn't like the U.S. bank.")
      ['She', 'didn', "'t", 'like', 'the', 'U.S.', 'bank', '.']
    """
    return split_like_moses(text, MARK)


class ElmoTokenizer:
    """Converts sentences to characters of words, or to rows of a word table.

    Attributes:
      config: of the model.
      vocabulary: the words of a word table or of a softmax; None for a character model
        without softmax.
      split: splits raw text into words. Lists of words are used unchanged.
      max_length: 0; a biLM reads no neighbouring sentences as context.
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
          pad_to: T; by default the words of the longest sentence, and at least 1 where
            there is a sentence.

        Returns:
          NumPy tokens. Boundaries take no positions: position t is word t.

        Raises:
          ValueError: a single str instead of a list, a sentence that is no text, or one
            over `pad_to`.
        """
        rows = [self.words(sentence) for sentence in check_sentences(sentences)]
        at_least("pad_to", pad_to, 1)
        longest = max(map(len, rows), default=0)
        # Without a sentence there is no position either, as of a BERT.
        shortest = 1 if rows else 0
        length = max(longest, shortest) if pad_to is None else pad_to
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
        """Return the words of a sentence; a list is returned unchanged."""
        if isinstance(sentence, str):
            return self.split(sentence)
        return list(sentence)

    def unknown_words(self, words: Sequence[str]) -> tuple[int, ...]:
        """Return the indices of the words that a model of word ids does not know.

        A model of characters reads every word.
        """
        if self.config.char_cnn is not None or self.vocabulary is None:
            return ()
        return self.vocabulary.unknown_of(words)

    def encode_types(self, words: Sequence[str]) -> Int[np.ndarray, "U ..."]:
        """Return the model's input for each word: characters, or a row of the table.

        Rows of characters are cut to a length that gives the same vectors.
        """
        char_cnn = self.config.char_cnn
        if char_cnn is None:
            assert self.vocabulary is not None  # __init__ saw to it
            return self.vocabulary.encode(words)
        length = sufficient_length(words, char_cnn.max_characters, char_cnn.max_width)
        return character_rows(words, char_cnn.max_characters, length)
