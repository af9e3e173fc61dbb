# SPDX-License-Identifier: Apache-2.0
"""Rows for BERT classification of texts, single or in pairs."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np

from bert_jax.rows import Row
from bert_jax.tokenizer import Tokenizer
from train.families.bert.token_examples import count_words
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import IGNORED, ClassifiedRow

_TOKENISED_AT_ONCE = 256


def sequence_rows(
    tokenizer: Tokenizer,
    texts: Sequence[LabelledText],
    label_ids: Mapping[str, int],
    *,
    max_length: int,
) -> list[ClassifiedRow]:
    """Convert each text, or pair, to one row.

    Args:
      tokenizer: of the model.
      texts: all single, or all pairs.
      label_ids: the id of each label; other labels are `IGNORED`.
      max_length: longest row in tokens, specials included. A longer text is truncated;
        of a pair, the longer text first.
    """
    short = copy.copy(tokenizer)
    short.max_length = max_length
    rows = []
    for start in range(0, len(texts), _TOKENISED_AT_ONCE):
        block = texts[start : start + _TOKENISED_AT_ONCE]
        pairs = [text.pair for text in block if text.pair is not None]
        tokens = short([text.text for text in block], pairs or None, long="truncate")
        for index, text in enumerate(block):
            end = int(tokens.mask[index].sum())
            label = label_ids.get(text.label, IGNORED)
            num_words, num_unknown = count_words(
                tokens.ids[index, :end], tokens.word_ids[index, :end], tokenizer.unk_id
            )
            rows.append(
                ClassifiedRow(
                    content=Row(
                        ids=tokens.ids[index, :end],
                        word_ids=tokens.word_ids[index, :end],
                        pooled=tokens.pooled[index, :end],
                        num_first_segment=end - int(tokens.segment_ids[index].sum()),
                    ),
                    length=end,
                    labels=np.array(label, np.int32),
                    example=start + index,
                    words=np.zeros(0, np.int64),
                    num_words=num_words,
                    num_unknown=num_unknown,
                )
            )
    return rows
