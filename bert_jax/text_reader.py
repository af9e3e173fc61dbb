# SPDX-License-Identifier: Apache-2.0
"""The text reader of an exported BERT, self-contained: copied beside the program."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SPACE = re.compile(r"\s")
SURROGATE = re.compile("[\ud800-\udfff]")

Words = tuple[list[str], list[list[int]]]
"""The words of a sentence, and the pieces of each."""


class Reader:
    """Converts sentences to rows of word pieces."""

    def __init__(
        self, directory: Path, text: Mapping[str, Any], shape_for: Callable[..., tuple]
    ) -> None:
        """Read the tokeniser; see `embed_jax.export.spec.Exportable`."""
        self._text, self._shape_for = text, shape_for
        self._split = _piece_splitter(directory)

    def words(self, sentence: str | Sequence[str]) -> list[str]:
        """Return the words of a sentence, split as the tokeniser splits text."""
        return self._split(sentence)[0] if isinstance(sentence, str) else [*sentence]

    def __call__(
        self, sentences: Sequence[str | Sequence[str]], first: int
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Return the inputs, and the position of the first piece of each word."""
        text = self._text
        rows, places = [], []
        for index, sentence in enumerate(sentences, start=first):
            _, pieces = self._split(sentence)
            row = [text["cls_id"], *(piece for word in pieces for piece in word)]
            row.append(text["sep_id"])
            if len(row) > text["max_length"]:
                raise ValueError(
                    f"sentence {index} has {len(row)} tokens with specials, more than "
                    f"{text['max_length']}; divide it"
                )
            counts = np.array([len(word) for word in pieces], np.int64)
            starts = 1 + np.cumsum(counts) - counts
            rows.append(row)
            places.append(np.where(counts > 0, starts, -1))
        shape = self._shape_for(rows, text["max_length"])
        ids = np.full(shape, text["pad_id"], np.int32)
        mask = np.zeros(shape, bool)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = True
        return {"ids": ids, "segment_ids": np.zeros_like(ids), "mask": mask}, places


def words_of_pieces(
    text: str,
    word_ids: Sequence[int | None],
    offsets: Iterable[tuple[int, int]],
) -> tuple[list[int], list[str]]:
    """Number the words of a text by its pieces, and cut them out of it.

    Args:
      text: the text.
      word_ids: of each piece the number of its word, by the tokeniser's library.
      offsets: of each piece where it begins and ends in the text.

    Returns:
      For each piece the number of its word, from 0 and without a gap; and the words,
      as they are written.
    """
    # A plain loop: it runs once a piece, and NumPy once a sentence would be slower.
    numbers: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    previous = None
    reached = 0
    for word, (start, end) in zip(word_ids, offsets, strict=True):
        # Words that left no piece have a number too, so the others are counted anew.
        if word != previous:
            previous = word
            start = _widen(text, starts, ends, reached, start)
            starts.append(start)
            ends.append(end)
        else:
            ends[-1] = max(end, ends[-1])
        reached = ends[-1]
        numbers.append(len(starts) - 1)
    _widen(text, starts, ends, reached, len(text))
    return numbers, [text[i:j] for i, j in zip(starts, ends, strict=True)]


def _widen(
    text: str, starts: list[int], ends: list[int], reached: int, start: int
) -> int:
    """Give what normalisation dropped between two words to the word that it touches.

    An accent that is a character of its own has no piece in an uncased model, and its
    offsets are nobody's, but the word is still written with it.

    Args:
      text: the sentence.
      starts: of the words so far.
      ends: of the words so far; the last one may grow.
      reached: where the last word ends, or 0.
      start: where the next word begins, or the end of the text.

    Returns:
      Where the next word begins with what belongs to it.
    """
    between = text[reached:start]
    if not between or between == " ":
        return start
    parts = SPACE.split(between)
    if starts:
        ends[-1] += len(parts[0])
        if len(parts) == 1:
            return start
    return start - len(parts[-1])


def without_surrogates(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot represent, each by one character.

    U+FFFD is what BERT's cleaning drops, and one character for one keeps offsets.
    """
    return SURROGATE.sub("\ufffd", text)


def _piece_splitter(directory: Path) -> Callable[[str | Sequence[str]], Words]:
    """Return a function that gives the words of a sentence, and the pieces of each."""
    models = list(directory.glob("*.model"))
    if not models:
        import tokenizers

        backend = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
        backend.no_truncation()
        backend.no_padding()

        def split(sentence: str | Sequence[str]) -> Words:
            is_text = isinstance(sentence, str)
            held = [sentence] if is_text else list(sentence)
            clean = [without_surrogates(text) for text in held]
            encoding = backend.encode(
                clean[0] if is_text else clean,
                is_pretokenized=not is_text,
                add_special_tokens=False,
            )
            numbers, words = encoding.word_ids, held
            if is_text:
                numbers, words = words_of_pieces(
                    sentence, encoding.word_ids, encoding.offsets
                )
            pieces: list[list[int]] = [[] for _ in words]
            for piece, word in zip(encoding.ids, numbers, strict=True):
                if word is not None:  # as specials have none
                    pieces[word].append(piece)
            return words, pieces

        return split
    import sentencepiece

    (path,) = models
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def split_at_spaces(sentence: str | Sequence[str]) -> Words:
        words = sentence.split() if isinstance(sentence, str) else list(sentence)
        return words, [model.encode(without_surrogates(word)) for word in words]

    return split_at_spaces
