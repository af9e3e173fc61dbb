# SPDX-License-Identifier: Apache-2.0
"""Whether a vocabulary without counts may be taken to be sorted by frequency."""

import logging

import numpy as np

from train.families.elmo.words import WordStore

logger = logging.getLogger(__name__)

# Fewer words tell too little.
_LEAST_WORDS = 100


def check_order(store: WordStore) -> None:
    """Hold the order of a vocabulary without counts against that of the text's words.

    Negatives are drawn by rank, log-uniformly. Published vocabularies are sorted by
    falling frequency and have no counts; bilm-tf takes their order as it is.

    Args:
      store: of the text, whose types are sorted by falling frequency.

    Raises:
      ValueError: frequent words of the text do not come first; says what to do.
    """
    vocabulary = store.vocabulary
    _, first = np.unique(store.targets, return_index=True)
    # The rank of each known word, the most frequent of the text first.
    ranks = store.targets[np.sort(first)]
    ranks = ranks[ranks != vocabulary.unknown_id]
    if len(ranks) >= _LEAST_WORDS:
        places = np.argsort(np.argsort(ranks))
        correlation = np.corrcoef(np.arange(len(places)), places)[0, 1]
        # Twice the deviation that words in any other order have.
        if correlation < 2 / np.sqrt(len(places)):
            raise ValueError(
                f"{store.path.parent}: the vocabulary has no counts, and its order is "
                "not that of falling frequency, by which negatives are drawn; give "
                "--data.vocabulary one that is sorted so or has counts, and prepare "
                "the text again, or train with --num-negatives 0"
            )
    logger.warning(
        "%s: the vocabulary has no counts; its words are taken to be sorted by "
        "falling frequency, by which negatives are drawn",
        store.path.parent,
    )
