# SPDX-License-Identifier: Apache-2.0
"""Distinctive words of each cluster of contexts."""

import collections
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from embed_jax.corpus.combining import MARK
from embed_jax.corpus.words import same_form
from embed_jax.explore.contexts.occurrences import Context

WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|{MARK})+")
# Words on either side that count as beside it.
REACH = 10
# Contexts a word must stand in, and by how many standard errors it must be the more
# frequent inside.
LEAST = 3
ERRORS = 2.5


def distinctive_words(
    contexts: Sequence[Context], labels: Int[np.ndarray, " N"], count: int = 5
) -> list[list[str]]:
    """Return for each cluster the words that are more frequent in it than elsewhere.

    Words are ranked by the two-proportion z statistic: by how many standard errors the
    share of contexts with the word is higher inside the cluster than outside.

    Args:
      contexts: of the word.
      labels: for each context its cluster, from 0.
      count: maximal words a cluster.

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
    frequent = sorted(word for word, each in counts.items() if each.sum() >= LEAST)
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
