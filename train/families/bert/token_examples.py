# SPDX-License-Identifier: Apache-2.0
"""Rows for BERT classification of words, each at its first piece.

As published (Devlin et al. 2019, section 5.3), the other pieces of a word are left out
of the loss.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from bert_jax.rows import Row, cut_windows, with_context
from bert_jax.tokenizer import Pieces, Tokenizer
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classified_rows import IGNORED, ClassifiedRow


def token_rows(
    tokenizer: Tokenizer,
    sentences: Sequence[TaggedSentence],
    label_ids: Mapping[str, int],
    *,
    max_length: int,
    context: int = 0,
) -> list[ClassifiedRow]:
    """Convert sentences to rows; every word is predicted in one of them.

    A sentence that is too long becomes overlapping windows, and each word is predicted
    in the window with the most context. A word without a piece is in no row.

    Args:
      tokenizer: of the model.
      sentences: the words, with their tags.
      label_ids: the id of each tag; other tags are `IGNORED`.
      max_length: longest row in tokens, specials included.
      context: pieces of neighbouring sentences of the same document to add on each
        side.
    """
    pieces = tokenizer.encode([list(sentence.words) for sentence in sentences])
    rows = []
    specials = tokenizer.cls_id, tokenizer.sep_id
    for index, cut in enumerate(
        _with_neighbours(sentences, pieces, *specials, max_length, context)
        if context
        else _alone(pieces, *specials, max_length)
    ):
        tags = [label_ids.get(tag, IGNORED) for tag in sentences[index].tags]
        tag_ids, unk_id = np.array(tags, np.int32), tokenizer.unk_id
        rows.extend(_labelled(row, tag_ids, index, unk_id) for row in cut)
    return rows


def _alone(
    pieces: Sequence[Pieces], cls_id: int, sep_id: int, max_length: int
) -> Iterator[list[Row]]:
    for each in pieces:
        yield cut_windows(each.ids, each.word_ids, cls_id, sep_id, max_length)


def _with_neighbours(
    sentences: Sequence[TaggedSentence],
    pieces: Sequence[Pieces],
    cls_id: int,
    sep_id: int,
    max_length: int,
    context: int,
) -> Iterator[list[Row]]:
    """Make rows of sentences with neighbours of the same document as context."""
    nothing = np.zeros(0, np.int32)
    lines, is_sentence = [], []
    for index, each in enumerate(pieces):
        if index and sentences[index].document != sentences[index - 1].document:
            lines.append((nothing, nothing))
            is_sentence.append(False)
        lines.append((each.ids, each.word_ids))
        is_sentence.append(True)
    cut = with_context(lines, cls_id, sep_id, max_length, context)
    return (rows for rows, kept in zip(cut, is_sentence, strict=True) if kept)


def _labelled(row: Row, tags: np.ndarray, example: int, unk_id: int) -> ClassifiedRow:
    before = np.concatenate([[IGNORED], row.word_ids[:-1]])
    is_first = (row.word_ids >= 0) & (row.word_ids != before)
    words = np.where(is_first, row.word_ids + row.first_word, -1)
    num_words, num_unknown = count_words(row.ids, row.word_ids, unk_id)
    return ClassifiedRow(
        content=row,
        length=len(row),
        labels=np.where(is_first, tags[words], IGNORED).astype(np.int32),
        example=example,
        words=words,
        num_words=num_words,
        num_unknown=num_unknown,
    )


def count_words(
    ids: Int[np.ndarray, " L"], word_ids: Int[np.ndarray, " L"], unk_id: int
) -> tuple[int, int]:
    """Count the words of a row, and those with an unknown piece.

    Args:
      ids: of the row's pieces.
      word_ids: the word that each is of; negative of none.
      unk_id: the id of the unknown piece.

    Example:
      >>> count_words(np.array([2, 7, 1, 1, 3]), np.array([-1, 0, 1, 1, -1]), 1)
      (2, 1)
    """
    is_first = (word_ids >= 0) & (word_ids != np.concatenate([[-1], word_ids[:-1]]))
    of_word = np.cumsum(is_first)
    lacked = np.unique(of_word[(ids == unk_id) & (word_ids >= 0)])
    return int(is_first.sum()), len(lacked)
