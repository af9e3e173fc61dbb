# SPDX-License-Identifier: Apache-2.0
"""Words that tell a cluster from the others name it; no function words do."""

import numpy as np

from embed_jax.explore.contexts import keywords
from embed_jax.explore.contexts.keywords import CommonWords, distinctive_words
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


# In the first cluster "your" is four times as frequent as in the second.
YOURS = [Context(4, "Keep your money in the ", "bank", "")] * 8
OTHERS = [
    *([Context(5, "We sat by the river ", "bank", "")] * 10),
    *([Context(6, "Your boat is at the ", "bank", "")] * 2),
]
LABELS = np.array([0] * len(YOURS) + [1] * len(OTHERS))
TALK = ["your hand", "is in your hand", "the hand", "in the", "we keep your word"]


def test_function_words_name_no_cluster():
    contexts = [*YOURS, *OTHERS]
    plainly, _ = distinctive_words(contexts, LABELS)
    assert {"your", "in", "money"} <= {*plainly}
    long = CommonWords([*TALK * 800, "money", "river"])
    assert long.words == {"your", "in", "hand"}
    first, second = distinctive_words(contexts, LABELS, common=long)
    assert first == ["keep", "money"]
    assert second == ["by", "river", "sat", "we"]


def test_in_a_short_text_only_what_stands_everywhere_is_ignored():
    """There "in" may be of the subject; "your" stands in both clusters."""
    short = CommonWords(TALK)
    assert not short.is_sure
    first, _ = distinctive_words([*YOURS, *OTHERS], LABELS, common=short)
    assert first == ["in", "keep", "money"]
    assert CommonWords([]).words == set()


def test_words_are_counted_all_over_a_long_text(monkeypatch):
    monkeypatch.setattr(keywords, "SAMPLED", 64)
    sentences = ["one"] * 600 + ["two"] * 300 + ["three"] * 100
    assert CommonWords(sentences).words == {"one"}
    assert CommonWords(sentences[::-1]).words == {"one"}
    assert CommonWords(["two"] * 300 + ["one"] * 700).words == {"one"}
