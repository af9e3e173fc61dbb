# SPDX-License-Identifier: Apache-2.0
"""A trigram language model: interpolated modified Kneser-Ney (Chen and Goodman 1998).

What a neural language model has to beat. With `D(c)` the discount of a count, 0, D1,
D2 or D3+ by c = 0, 1, 2 and more, and `c2`, `c1` the continuation counts,

    p(w | u v) = (c3(u v w) - D(c3)) / sum_w c3(u v w) + g(u v) p(w | v)
    p(w | v)   = (c2(v w) - D(c2)) / sum_w c2(v w) + g(v) p(w)
    p(w)       = (c1(w) - D(c1)) / sum_w c1(w) + g / predictable words

where g is the mass that the discounts took, so that each line sums to one; a context
that never occurred has g = 1 and no first term. Every word of the vocabulary but the
begin marker is predictable, the end marker included.

The sentence begins with one `<S>`, as in SRILM and KenLM: the first word is predicted
from the context `<S>` by the bigrams, the second from `<S> w`. Two markers would not
do, for all that ever precedes `<S>` would be `<S>`: each bigram `<S> w` would have the
continuation count 1, however many sentences begin with w. With one marker nothing
precedes it, and the bigrams that start with it keep their plain counts.

All n-grams lie in sorted arrays of packed int64 keys and are found by bisection.
"""

import dataclasses
from collections.abc import Iterable
from typing import Self

import numpy as np

# The first of two context words where there is none, before a sentence's first word.
NO_WORD = -1

# Stand in where the counts-of-counts give no usable discounts: toy corpora, and the
# unigrams of a vocabulary that was cut at a frequency and so lacks the small counts.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)

# Three ids below this pack into 63 bits.
_LARGEST_VOCABULARY = 2**21


def count_keys(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count equal keys; sorts `keys` [N] in place.

    Returns:
      The distinct keys [G], ascending, and how often each occurs [G] int64.
    """
    keys.sort()
    starts = run_starts(keys)
    return keys[starts], np.diff(starts, append=len(keys))


def run_starts(sorted_keys: np.ndarray) -> np.ndarray:
    """Return where each run of equal keys [N] begins, int64 [R]."""
    begins = np.ones(len(sorted_keys), bool)
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def find_keys(
    sorted_keys: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Look `queries` [N] up in distinct sorted keys [G].

    Returns:
      The indices of the found ones int64 [F], and which were found bool [N].
    """
    if not len(sorted_keys):
        return np.zeros(0, np.int64), np.zeros(len(queries), bool)
    places = np.searchsorted(sorted_keys, queries)
    np.minimum(places, len(sorted_keys) - 1, out=places)
    found = sorted_keys[places] == queries
    return places[found], found


def estimate_discounts(counts: np.ndarray) -> tuple[float, float, float] | None:
    """Return D1, D2 and D3+ from the counts of an order's n-grams, int [G].

    None where a count of 1 to 4 never occurs or a discount is not above zero or takes
    more than the count it belongs to.
    """
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].tolist()
    if not (n1 and n2 and n3 and n4):
        return None
    y = n1 / (n1 + 2 * n2)
    d1, d2, d3 = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return (d1, d2, d3) if 0 < d1 <= 1 and 0 < d2 <= 2 and 0 < d3 <= 3 else None


@dataclasses.dataclass(frozen=True)
class _Order:
    """The n-grams of one order; a key is its context's key times V plus the word.

    Attributes:
      keys: int64 [G], ascending.
      discounted: (count - discount) / count of the context, float64 [G].
      contexts: int64 [C], ascending.
      backoffs: the mass left to the next lower order, float64 [C].
      discounts: D1, D2, D3+.
      estimated: whether they are the data's or `FALLBACK_DISCOUNTS`.
    """

    keys: np.ndarray
    discounted: np.ndarray
    contexts: np.ndarray
    backoffs: np.ndarray
    discounts: tuple[float, float, float]
    estimated: bool

    @classmethod
    def from_counts(cls, keys: np.ndarray, counts: np.ndarray, size: int) -> Self:
        """Discount the counts int64 [G] of the ascending keys int64 [G]."""
        estimate = estimate_discounts(counts)
        discounts = estimate or FALLBACK_DISCOUNTS
        taken = np.array((0.0, *discounts))[np.minimum(counts, 3)]
        contexts = keys // size
        starts = run_starts(contexts)
        if len(keys):
            totals = np.add.reduceat(counts, starts)
            backoffs = np.add.reduceat(taken, starts) / totals
            repeats = np.diff(starts, append=len(keys))
            discounted = (counts - taken) / np.repeat(totals, repeats)
        else:
            backoffs = discounted = np.zeros(0)
        return cls(
            keys=keys,
            discounted=discounted,
            contexts=contexts[starts],
            backoffs=backoffs,
            discounts=discounts,
            estimated=estimate is not None,
        )

    def interpolate(
        self, contexts: np.ndarray, words: np.ndarray, lower: np.ndarray, size: int
    ) -> np.ndarray:
        """Return p [N] of int64 words [N] in contexts [N], given the lower order's."""
        places, found = find_keys(self.contexts, contexts)
        result = lower.copy()
        result[found] *= self.backoffs[places]
        places, found = find_keys(self.keys, contexts * size + words)
        result[found] += self.discounted[places]
        return result


def _join(
    sentences: Iterable[np.ndarray],
    vocab_size: int,
    begin_id: int,
    end_id: int,
    backward: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate sentences, each between its markers; reverse each if `backward`.

    Returns:
      Ids int64 [sum of (length + 2)], and where each sentence's begin marker is [S].

    Raises:
      ValueError: an id outside the vocabulary, or a marker within a sentence.
    """
    step = -1 if backward else 1
    pieces = [np.asarray(sentence)[::step] for sentence in sentences]
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
    words = np.concatenate([*pieces, np.zeros(0, np.int32)]).astype(np.int64)
    if len(words) and not 0 <= words.min() <= words.max() < vocab_size:
        raise ValueError(
            f"word ids reach from {words.min()} to {words.max()}, but the vocabulary "
            f"holds {vocab_size}"
        )
    if ((words == begin_id) | (words == end_id)).any():
        raise ValueError("a sentence holds a boundary marker; leave them out")
    ends = np.cumsum(lengths + 2)
    begins = ends - lengths - 2
    ids = np.empty(len(words) + 2 * len(pieces), np.int64)
    inside = np.ones(len(ids), bool)
    inside[begins] = inside[ends - 1] = False
    ids[begins] = begin_id
    ids[ends - 1] = end_id
    ids[inside] = words
    return ids, begins


@dataclasses.dataclass(frozen=True)
class KneserNeyTrigram:
    """A fitted trigram model; make it with `fit`.

    Attributes:
      vocab_size: V, markers and `<UNK>` included.
      begin_id: the marker that is only ever context.
      end_id: the marker that is predicted after the last word.
      backward: whether it reads sentences from their end.
      unigrams: p of each id, float64 [V]; 0 for `begin_id`.
      bigrams: order two.
      trigrams: order three.
      unigram_discounts: D1, D2, D3+ of the unigrams.
      unigrams_estimated: whether they are the data's or `FALLBACK_DISCOUNTS`.
    """

    vocab_size: int
    begin_id: int
    end_id: int
    backward: bool
    unigrams: np.ndarray
    bigrams: _Order
    trigrams: _Order
    unigram_discounts: tuple[float, float, float]
    unigrams_estimated: bool

    @classmethod
    def fit(
        cls,
        sentences: Iterable[np.ndarray],
        vocab_size: int,
        begin_id: int,
        end_id: int,
        *,
        backward: bool = False,
    ) -> Self:
        """Count the n-grams of sentences and discount them.

        Args:
          sentences: vocabulary ids without markers, int [length] each; unknown words
            are `<UNK>`'s id, a word like any other.
          vocab_size: V, markers included.
          begin_id: id of the marker before the first word.
          end_id: id of the marker after the last word.
          backward: predict each word from the two after it. The model of the reversed
            sentences; as only their roles count, the markers keep their ids.

        Raises:
          ValueError: no sentences, ids that do not fit, or too large a vocabulary.
        """
        if vocab_size > _LARGEST_VOCABULARY:
            raise ValueError(
                f"a vocabulary of {vocab_size}; trigrams of more than "
                f"{_LARGEST_VOCABULARY} words do not pack into 64 bits"
            )
        ids, begins = _join(sentences, vocab_size, begin_id, end_id, backward)
        if not len(begins):
            raise ValueError("there are no sentences to count")

        within = (ids[:-2] != end_id) & (ids[1:-1] != end_id)
        keys = (ids[:-2] * vocab_size + ids[1:-1]) * vocab_size + ids[2:]
        trigrams, trigram_counts = count_keys(keys[within])
        del keys, within

        # Nothing precedes the begin marker, so its bigrams keep their plain counts.
        first, first_counts = count_keys(begin_id * vocab_size + ids[begins + 1])
        inner, inner_counts = count_keys(trigrams % vocab_size**2)
        bigrams = np.concatenate([first, inner])
        order = np.argsort(bigrams)
        bigrams = bigrams[order]
        bigram_counts = np.concatenate([first_counts, inner_counts])[order]

        counts = np.bincount(bigrams % vocab_size, minlength=vocab_size)
        estimate = estimate_discounts(counts)
        discounts = estimate or FALLBACK_DISCOUNTS
        taken = np.array((0.0, *discounts))[np.minimum(counts, 3)]
        unigrams = (counts - taken + taken.sum() / (vocab_size - 1)) / counts.sum()
        unigrams[begin_id] = 0.0
        return cls(
            vocab_size=vocab_size,
            begin_id=begin_id,
            end_id=end_id,
            backward=backward,
            unigrams=unigrams,
            bigrams=_Order.from_counts(bigrams, bigram_counts, vocab_size),
            trigrams=_Order.from_counts(trigrams, trigram_counts, vocab_size),
            unigram_discounts=discounts,
            unigrams_estimated=estimate is not None,
        )

    def probabilities(
        self, first: np.ndarray, second: np.ndarray, words: np.ndarray
    ) -> np.ndarray:
        """Return p(words | first second), float64 [N].

        Args:
          first: int [N]; `NO_WORD` where `second` is the begin marker.
          second: the word just read, int [N].
          words: the word to predict, int [N]; 0 comes back for the begin marker.
        """
        first, second, words = (
            np.asarray(ids).astype(np.int64) for ids in (first, second, words)
        )
        size = self.vocab_size
        result = self.bigrams.interpolate(second, words, self.unigrams[words], size)
        # The key of no context: unseen, so the bigram's probability stands.
        contexts = np.where(first == NO_WORD, NO_WORD, first * size + second)
        result = self.trigrams.interpolate(contexts, words, result, size)
        return np.where(words == self.begin_id, 0.0, result)

    def log_probs(self, sentences: Iterable[np.ndarray]) -> np.ndarray:
        """Return ln p of each word and end marker, float64 [sum of (length + 1)].

        The sentences (int [length] each, no markers) follow one another; a backward
        model's numbers are in its reading order, a sentence's last word first.
        """
        ids, begins = _join(
            sentences, self.vocab_size, self.begin_id, self.end_id, self.backward
        )
        predicted = np.ones(len(ids), bool)
        predicted[begins] = False
        places = np.flatnonzero(predicted)
        second = ids[places - 1]
        # What stands before a begin marker is another sentence's end.
        first = np.where(second == self.begin_id, NO_WORD, ids[places - 2])
        return np.log(self.probabilities(first, second, ids[places]))

    def perplexity(self, sentences: Iterable[np.ndarray]) -> float:
        """Return exp of the mean negative ln p over words, `<UNK>` and end markers."""
        return float(np.exp(-self.log_probs(sentences).mean()))

    def describe_discounts(
        self,
    ) -> list[tuple[str, tuple[float, float, float], bool]]:
        """Return each order's name, D1, D2 and D3+, and whether the data gave them."""
        return [
            ("unigrams", self.unigram_discounts, self.unigrams_estimated),
            ("bigrams", self.bigrams.discounts, self.bigrams.estimated),
            ("trigrams", self.trigrams.discounts, self.trigrams.estimated),
        ]
