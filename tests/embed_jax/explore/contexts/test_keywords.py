# SPDX-License-Identifier: Apache-2.0
"""Words that stand in one cluster and not in the other are named."""

import numpy as np

from embed_jax.explore.contexts.keywords import distinctive_words
from embed_jax.explore.contexts.occurrences import Context

RIVER = [Context(1, "They fished from the ", "bank", " of the river.")] * 6
MONEY = [Context(2, "The money in the ", "Bank", " of Albany grew.")] * 5


def test_each_cluster_has_its_own_words():
    labels = np.array([0] * 6 + [1] * 5)
    river, money = distinctive_words([*RIVER, *MONEY], labels)
    assert set(river) == {"they", "fished", "from", "river"}
    assert set(money) == {"money", "in", "albany", "grew"}


def test_one_cluster_has_nothing_to_be_told_from():
    assert distinctive_words(RIVER, np.zeros(6, np.int64)) == [[]]


def test_words_far_away_do_not_count():
    far = [Context(3, f"glacier {'word ' * 12}", "bank", "")] * 6
    words = distinctive_words([*far, *MONEY], np.array([0] * 6 + [1] * 5))
    assert "glacier" not in words[0]
    assert "word" in words[0]
