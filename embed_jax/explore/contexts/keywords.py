# SPDX-License-Identifier: Apache-2.0
"""The words that tell the clusters of contexts apart, by which they are named.

Function words differ in frequency between any two parts of a text, and name none. They
are found in the text itself, whatever its language: its most frequent words, those that
together are half of all its running words (some 150 of an English text).
"""

import collections
import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from jaxtyping import Int

from embed_jax.corpus.combining import MARK
from embed_jax.corpus.sentences import Sentence
from embed_jax.corpus.words import same_form, text_of
from embed_jax.explore.contexts.occurrences import Context

WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|{MARK})+")
# Words on either side that count as beside it.
REACH = 10
# Contexts a word must stand in, and by how many standard errors it must be the more
# frequent inside.
LEAST = 3
ERRORS = 2.5
# Sentences at least in which words are counted, and running words of which they are
# common beyond doubt: in a shorter text, any word of its subject may be among them.
SAMPLED = 8192
MANY_WORDS = 10_000
# Share of all running words that the common words are.
SHARE = 0.5


class CommonWords:
    """The most frequent words of a text, which are half of its running words.

    Attributes:
      words: in the form of `same_form`.
      is_sure: whether the text is so long that they are function words all.
    """

    def __init__(self, sentences: Iterable[Sentence]) -> None:
        """Count the words of a text, or of sentences taken evenly from a long one."""
        kept: list[Sentence] = []
        step = 1
        for index, sentence in enumerate(sentences):
            if index % step == 0:
                kept.append(sentence)
                if len(kept) > 2 * SAMPLED:
                    kept, step = kept[::2], 2 * step
        counts: collections.Counter[str] = collections.Counter()
        for sentence in kept:
            counts.update(WORD.findall(same_form(text_of(sentence))))
        left = SHARE * counts.total()
        self.is_sure = counts.total() >= MANY_WORDS
        self.words: set[str] = set()
        for word, number in counts.most_common():
            if left <= 0:
                break
            self.words.add(word)
            left -= number

    def within(self, clusters: Collection[Collection[str]]) -> set[str]:
        """Return those that name no cluster; of a short text, those that all have.

        Args:
          clusters: the words of each.
        """
        if self.is_sure:
            return self.words
        return self.words.intersection(*map(set, clusters)) if clusters else set()


def distinctive_words(
    contexts: Sequence[Context],
    labels: Int[np.ndarray, " N"],
    count: int = 5,
    *,
    common: CommonWords | None = None,
) -> list[list[str]]:
    """Return for each cluster the words that are more frequent in it than elsewhere.

    Words are ranked by the two-proportion z statistic: by how many standard errors the
    share of contexts with the word is higher inside the cluster than outside.

    Args:
      contexts: of the word.
      labels: for each context its cluster, from 0.
      count: maximal words a cluster.
      common: of the text, which name no cluster.

    Returns:
      For each cluster its words in lower case, the most distinctive first; none where
      there is one cluster only.
    """
    num_clusters = int(labels.max(initial=-1)) + 1
    sizes = np.bincount(labels, minlength=num_clusters)
    counts: dict[str, np.ndarray] = collections.defaultdict(
        lambda: np.zeros(num_clusters)
    )
    own = {same_form(context.word) for context in contexts}
    for context, label in zip(contexts, labels, strict=True):
        before = WORD.findall(same_form(context.before))[-REACH:]
        after = WORD.findall(same_form(context.after))[:REACH]
        for word in {*before, *after} - own:
            counts[word][label] += 1
    held = [
        {word for word, each in counts.items() if each[label]}
        for label in range(num_clusters)
    ]
    ignored = common.within(held) if common else set()
    frequent = sorted(
        word
        for word, each in counts.items()
        if each.sum() >= LEAST and word not in ignored
    )
    if not frequent or num_clusters < 2:
        return [[] for _ in range(num_clusters)]
    inside = np.stack([counts[word] for word in frequent])
    total = inside.sum(axis=1, keepdims=True)
    rest = sizes.sum() - sizes
    share = total / sizes.sum()
    error = np.sqrt(np.maximum(share * (1 - share), 1e-9) * (1 / sizes + 1 / rest))
    errors = (inside / sizes - (total - inside) / rest) / error
    errors[inside < LEAST] = 0
    named = []
    for column in errors.T:
        order = np.argsort(-column, kind="stable")[:count]
        named.append([frequent[index] for index in order if column[index] >= ERRORS])
    return named
