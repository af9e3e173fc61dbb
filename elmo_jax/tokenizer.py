# SPDX-License-Identifier: Apache-2.0
"""The tokeniser of ELMo: sentences to a batch of words."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from elmo_jax.characters import (
    BEGIN_TOKEN,
    END_TOKEN,
    PADDING,
    character_rows,
    spelled_words,
    sufficient_length,
)
from elmo_jax.config import ElmoConfig
from elmo_jax.text_reader import split_like_moses
from elmo_jax.tokens import BEGIN, END, ElmoTokens
from elmo_jax.vocabulary import Vocabulary
from embed_jax.corpus.combining import MARK
from embed_jax.corpus.row_length import OfLong, PadTo, RowLength
from embed_jax.corpus.sentences import Sentence, check_sentences


def split_words(text: str) -> list[str]:
    """Split raw text into words like the corpus of the published English weights.

    Follows Moses' tokeniser script, which the 1 Billion Word Benchmark used; but a mark
    stays on its letter, where that script makes "cafe" and an accent of "café" if both
    are characters of their own. That corpus had its curly quotes and dashes made plain
    before. Where a text has some, pass a tokeniser what does so too, as in
    `split=lambda text: split_words(normalizer.normalize(text))` with a
    `sacremoses.MosesPunctNormalizer()`.

    Example:
      >>> split_words("She didn't like the U.S. bank.")
      ['She', 'didn', "'t", 'like', 'the', 'U.S.', 'bank', '.']
    """
    return split_like_moses(text, MARK)


class ElmoTokenizer:
    """Converts sentences to characters of words, or to rows of a word table.

    It can be pickled, so that other processes may tokenise, where `split` can.

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

    def state(self) -> Any:
        """Return what a word's vector depends on, as a JSON value.

        The vocabulary of a softmax is not of it.
        """
        reads = self.vocabulary if self.config.char_cnn is None else None
        name = getattr(self.split, "__qualname__", type(self.split).__name__)
        module = getattr(self.split, "__module__", None)  # str.split has none
        return [f"{module}.{name}", reads and reads.words]

    def __repr__(self) -> str:
        reads = "words" if self.config.char_cnn is None else "characters"
        size = None if self.vocabulary is None else len(self.vocabulary)
        return (
            f"elmo_jax.ElmoTokenizer(reads={reads!r}, vocab_size={size}, cased=True, "
            "max_length=None)"
        )

    def __call__(
        self,
        sentences: Iterable[Sentence],
        *,
        max_length: int | None = None,
        long: OfLong = "error",
        pad_to: PadTo = None,
        pad_types_to: int | None = None,
    ) -> ElmoTokens:
        """Turn sentences into one batch, a sentence a row.

        Args:
          sentences: each a str, which is split into words, or a list of words.
          max_length: longest row in words; by default any.
          long: whether a row over `max_length` or `pad_to` is an error or is truncated.
            `embed_words` reads a sentence of any length.
          pad_to: T, for the same shapes whatever the texts: characters and types too
            are then as many as a batch `[B T]` may have at most. "bucket" for one of
            few T, the power of two above the longest. By default the words of the
            longest sentence, and at least 1 where there is a sentence.
          pad_types_to: U, the distinct words with the two boundaries, where you know
            that `[B T]` never has more: the character CNN computes all of them.

        Returns:
          NumPy tokens. Boundaries take no positions: position t is word t.

        Raises:
          ValueError: a single str instead of a list, a sentence that is no text, one
            that is too long, or more distinct words than `pad_types_to`.
        """
        length = RowLength.asked(max_length, long, pad_to, least=1)
        rows = [self.words(sentence) for sentence in check_sentences(sentences)]
        rows = [
            words[: length.cut(index, len(words), "words")]
            for index, words in enumerate(rows)
        ]
        # Without a sentence there is no position either, as of a BERT.
        longest = max((1, *map(len, rows))) if rows else 0
        tokens = self.collate(rows, length.padded(longest))
        if pad_to is None and pad_types_to is None:
            return tokens
        return tokens._replace(types=self._pad_types(tokens, pad_types_to))

    def collate(self, rows: Sequence[Sequence[str]], length: int) -> ElmoTokens:
        """Make a batch of rows of words, and no more types than they have.

        Args:
          rows: the words of each.
          length: T, at least that of the longest row.
        """
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

    def _pad_types(
        self, tokens: ElmoTokens, num_types: int | None
    ) -> Int[np.ndarray, "U ..."]:
        B, T = tokens.words.shape
        found = len(tokens.types)
        # A multiple of B, so that whatever divides the rows divides the types too.
        most = B * (T + -(-2 // B)) if B else 2
        wanted = most if num_types is None else num_types
        if found > wanted:
            raise ValueError(
                f"the batch has {found} distinct words, boundaries included, more than "
                f"pad_types_to {wanted}; {B} rows of {T} have at most {most}"
            )
        char_cnn = self.config.char_cnn
        return pad_types(
            tokens.types, wanted, char_cnn.max_characters if char_cnn else 0
        )

    def words(self, sentence: Sentence) -> list[str]:
        """Return the words of a sentence; a list is returned unchanged."""
        if isinstance(sentence, str):
            return self.split(sentence)
        return list(sentence)

    def pieces(self, sentence: Sentence) -> list[str]:
        """Return the words of a sentence: a biLM has a vector for each.

        Raises:
          ValueError: what is no text.
        """
        (checked,) = check_sentences([sentence])
        return self.words(checked)

    def row_pieces(self, tokens: ElmoTokens) -> list[list[str]]:
        """Return the words of each row of a batch, without padding.

        Word `t` of row `b` is what `embed` gives the vector `[b, t]` of. What the model
        does not read is not there: bytes of a long word, a word that a table lacks.
        """
        types = self._words_of(np.asarray(tokens.types))
        words, mask = np.asarray(tokens.words), np.asarray(tokens.mask)
        return [
            [types[index] for index in row[real].tolist()]
            for row, real in zip(words, mask, strict=True)
        ]

    def decode(self, ids: ElmoTokens | Int[Any, "W ..."]) -> str | list[str]:
        """Return the words of rows of characters, or of a word table, as text.

        Args:
          ids: `[W C]` characters, or `[W]` rows of a word table, one text; or a batch
            of tokens, a text each row.
        """
        if isinstance(ids, ElmoTokens):
            return [" ".join(words) for words in self.row_pieces(ids)]
        return " ".join(self._words_of(np.asarray(ids)))

    def _words_of(self, types: np.ndarray) -> list[str]:
        if not np.issubdtype(types.dtype, np.integer):
            raise ValueError("types that are vectors already cannot be read as words")
        if self.config.char_cnn is not None:
            return spelled_words(types)
        assert self.vocabulary is not None  # __init__ saw to it
        return [self.vocabulary.words[index] for index in types.tolist()]

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


def pad_types(
    types: Int[np.ndarray, "_ ..."], num_types: int, num_characters: int = 0
) -> Int[np.ndarray, "U ..."]:
    """Fill types up to a shape, which changes no vector.

    Args:
      types: characters of words `[_ C]`, or their rows in a word table `[_]`.
      num_types: U of the result.
      num_characters: C of the result; only of rows of characters.
    """
    if types.ndim == 1:
        return np.pad(types, (0, num_types - len(types)))
    # The same windows of padding once more; and rows of zeros, which are no words.
    wider = (0, 0), (0, num_characters - types.shape[1])
    types = np.pad(types, wider, constant_values=PADDING)
    return np.pad(types, ((0, num_types - len(types)), (0, 0)))
