# SPDX-License-Identifier: Apache-2.0
"""The text reader of an exported BERT, self-contained: copied beside the program."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Reader:
    """Converts sentences to rows of word pieces."""

    def __init__(
        self, directory: Path, text: Mapping[str, Any], shape_for: Callable[..., tuple]
    ) -> None:
        """Read the tokeniser; see `embed_jax.export.spec.Exportable`."""
        self._text, self._shape_for = text, shape_for
        self._split = _piece_splitter(directory)

    def __call__(
        self, sentences: Sequence[Sequence[str]], first: int
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
        """Return the inputs, and the position of the first piece of each word."""
        text = self._text
        rows, places = [], []
        for index, words in enumerate(sentences, start=first):
            pieces = self._split(words)
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


def _piece_splitter(directory: Path) -> Callable[[Sequence[str]], list[list[int]]]:
    """Return a function that gives the pieces of each word of a sentence."""
    models = list(directory.glob("*.model"))
    if not models:
        import tokenizers

        backend = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
        backend.no_truncation()
        backend.no_padding()

        def split(words: Sequence[str]) -> list[list[int]]:
            encoding = backend.encode(
                list(words), is_pretokenized=True, add_special_tokens=False
            )
            pieces: list[list[int]] = [[] for _ in words]
            for piece, word in zip(encoding.ids, encoding.word_ids, strict=True):
                if word is not None:  # as specials have none
                    pieces[word].append(piece)
            return pieces

        return split
    import sentencepiece

    (path,) = models
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return lambda words: [model.encode(word) for word in words]
