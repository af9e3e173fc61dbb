# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from train.tasks.probes.resampling import deviation_of_share


def test_it_is_what_other_sentences_would_have_made_of_the_share():
    """Of sentences that are wholly right or wrong, the deviation of that many coins."""
    hits = np.repeat(np.arange(400) % 4 > 0, 5)
    offsets = np.arange(0, 2001, 5)
    found = deviation_of_share(hits, offsets, num_resamples=4000, seed=0)
    assert found == pytest.approx(100 * np.sqrt(0.75 * 0.25 / 400), rel=0.05)
    # Words by themselves would hide that sentences differ.
    alone = deviation_of_share(hits, np.arange(2001), num_resamples=2000, seed=0)
    assert alone == pytest.approx(found / np.sqrt(5), rel=0.1)
    assert deviation_of_share(hits, offsets, num_resamples=4000, seed=1) != found


def test_what_is_the_same_of_all_sentences_has_none():
    hits, offsets = np.array([True, False] * 9), np.arange(0, 19, 2)
    assert deviation_of_share(hits, offsets, num_resamples=9, seed=0) == 0
