# SPDX-License-Identifier: Apache-2.0
"""Every word that is measured counts once, in whatever rows it lies."""

from collections import Counter

import numpy as np
import pytest

from tests.train.stores import draw_words, word_store
from train.families.elmo.held_out import HeldOutWindows

STORE = word_store([draw_words(num_sentences=60)], vocab_size=14)
POSITIONS = STORE.num_tokens + STORE.num_sentences


def targets(batch_size: int, limit: tuple[int, int] | None) -> list[Counter]:
    """Count the words that each direction is to predict."""
    windows = HeldOutWindows(STORE, batch_size=batch_size, unroll_steps=6, limit=limit)
    found = [Counter(), Counter()]
    for number in range(len(windows)):
        rows = windows[number].rows
        for way, count in enumerate(found):
            counted = rows.weights[:, way] > 0
            count.update(rows.targets[:, way][counted].tolist())
    return found


@pytest.mark.parametrize("limit", [None, (2, 5), (999, 5)])
def test_words_are_the_same_in_rows_of_any_number(limit):
    expected = targets(5, limit)
    number = 2 * 5 * 6 if limit == (2, 5) else POSITIONS
    assert [count.total() for count in expected] == [number] * 2
    for batch_size in (1, 7, 64, 200):
        assert targets(batch_size, limit) == expected


def test_windows_after_the_last_word_that_counts_are_not_made():
    limited = HeldOutWindows(STORE, batch_size=5, unroll_steps=6, limit=(2, 5))
    assert len(limited) == 2
    whole = HeldOutWindows(STORE, batch_size=5, unroll_steps=6)
    assert len(whole) == whole.epoch_end(0) > 2
    np.testing.assert_array_equal(limited[1].rows.words, whole[1].rows.words)
