# SPDX-License-Identifier: Apache-2.0
"""Guessing a masked piece from counts: what a masked language model has to beat.

`unigram_accuracy` always answers the most frequent piece. `TwoSidedBigram` looks at
both neighbours, l and r, and answers the w that maximises

    p(w | l) p(r | w)   where
    p(w | l) = (c(l w) - D) / c(l) + g(l) p(w) = A(l, w) + g(l) p(w)
    p(r | w) = (c(w r) - D') / c(w) + h(w) q(r) = B(w, r) + h(w) q(r)

with one absolute discount for each direction and A, B zero for unseen pairs. The edge
of a sentence is a neighbour like any other, but never the answer. A neighbour that is
not known, as it is masked too, leaves its side out: p(w | l) becomes p(w), p(r | w) 1.

Both the best w and the sum over w are exact though most w are never looked at. Where A
or B is zero the product falls apart into a factor of l and one of r, whose best and
sums are kept by l and by r. Only pieces seen both after l and before r are left; those
come from the shorter of the two lists, looked up in the other.
"""

import dataclasses
from collections.abc import Iterable
from typing import Self

import numpy as np

from benchmarks.kneser_ney import count_keys, find_keys, run_starts

# Neighbours that are no piece: the edge of the sentence, and a piece that is masked.
BOUNDARY = -1
UNKNOWN = -2

# Candidates looked at together.
CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class MaskedScores:
    """How well masked pieces were guessed.

    Attributes:
      positions: how many.
      accuracy: the share guessed right.
      log_loss: the mean negative ln p of the right piece.
    """

    positions: int
    accuracy: float
    log_loss: float


def count_pieces(sentences: Iterable[np.ndarray], vocab_size: int) -> np.ndarray:
    """Return how often each piece occurs in sentences int [length], int64 [V]."""
    pieces = np.concatenate([*sentences, np.zeros(0, np.int32)]).astype(np.int64)
    return np.bincount(pieces, minlength=vocab_size)


def unigram_accuracy(counts: np.ndarray, targets: np.ndarray) -> float:
    """Return the share of targets [N] that are the most frequent by counts [V]."""
    return float(np.mean(np.asarray(targets) == np.argmax(counts)))


def masked_neighbours(
    sentences: Iterable[np.ndarray], masks: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the masked pieces and what stands beside them, three int64 [N].

    Args:
      sentences: the true pieces, without boundary markers, int [length] each.
      masks: which of them are masked, bool [length] each.

    Returns:
      Targets, left and right neighbours; `BOUNDARY` beyond the sentence, `UNKNOWN` for
      a neighbour that is masked itself.
    """
    targets, left, right = [], [], []
    for sentence, mask in zip(sentences, masks, strict=True):
        seen = np.full(len(sentence) + 2, BOUNDARY, np.int64)
        seen[1:-1] = np.where(mask, UNKNOWN, sentence)
        places = np.flatnonzero(mask)
        targets.append(np.asarray(sentence)[places].astype(np.int64))
        left.append(seen[places])
        right.append(seen[places + 2])
    empty = np.zeros(0, np.int64)
    return (
        np.concatenate([*targets, empty]),
        np.concatenate([*left, empty]),
        np.concatenate([*right, empty]),
    )


def _discount(counts: np.ndarray) -> float:
    """Return n1 / (n1 + 2 n2), or 1/2 where that is not between 0 and 1."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once and twice else 0.5


def _smooth(counts: np.ndarray) -> np.ndarray:
    """Return discounted shares of counts [N], the rest spread evenly, float64 [N]."""
    discount = _discount(counts)
    taken = discount * (counts > 0).mean()
    return (np.maximum(counts - discount, 0) + taken) / counts.sum()


def _best_of_runs(
    groups: np.ndarray, scores: np.ndarray, words: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best score [size] and its word [size] in each group of scores [N].

    Args:
      groups: which group, int [N], ascending; a group without scores gets -inf and -1.
      scores: float64 [N].
      words: int64 [N].
      size: number of groups.
    """
    best = np.full(size, -np.inf)
    best_words = np.full(size, -1, np.int64)
    if len(groups):
        starts = run_starts(groups)
        best[groups[starts]] = np.maximum.reduceat(scores, starts)
        winners = np.flatnonzero(scores == best[groups])[::-1]
        best_words[groups[winners]] = words[winners]
    return best, best_words


@dataclasses.dataclass(frozen=True)
class _Side:
    """Discounted pairs of a neighbour and the masked piece, grouped by neighbour.

    Attributes:
      keys: neighbour times K plus piece, int64 [G], ascending.
      values: A or B of the module's docstring, float64 [G].
      starts: where each neighbour's keys begin, int64 [K + 1].
    """

    keys: np.ndarray
    values: np.ndarray
    starts: np.ndarray

    def lookup(self, keys: np.ndarray) -> np.ndarray:
        """Return the values float64 [N] of keys int64 [N], 0 where there is none."""
        places, found = find_keys(self.keys, keys)
        values = np.zeros(len(keys))
        values[found] = self.values[places]
        return values


@dataclasses.dataclass(frozen=True)
class TwoSidedBigram:
    """A fitted model; make it with `fit`.

    Neighbours have K = V + 2 internal ids: the pieces, `BOUNDARY` and `UNKNOWN`.

    Attributes:
      vocab_size: V.
      counts: how often each piece occurs, int64 [V].
      unigrams: p(w), float64 [V].
      left: A.
      right: B.
      left_backoff: g, float64 [K].
      right_backoff: h, float64 [V].
      right_unigrams: q, float64 [K]; 1 for `UNKNOWN`.
    """

    vocab_size: int
    counts: np.ndarray
    unigrams: np.ndarray
    left: _Side
    right: _Side
    left_backoff: np.ndarray
    right_backoff: np.ndarray
    right_unigrams: np.ndarray

    @classmethod
    def fit(cls, sentences: Iterable[np.ndarray], vocab_size: int) -> Self:
        """Count the pieces and neighbours of sentences, int [length] each, no markers.

        Raises:
          ValueError: no pieces, or ids outside 0 to V - 1.
        """
        size, boundary = vocab_size + 2, np.full(1, vocab_size, np.int64)
        # One boundary between two sentences serves both.
        parts = [part for sentence in sentences for part in (boundary, sentence)]
        ids = np.concatenate([*parts, boundary]).astype(np.int64)
        if ids.min() < 0 or ids.max() > vocab_size:
            raise ValueError(f"piece ids are not all below {vocab_size}")
        occurrences = np.bincount(ids, minlength=vocab_size + 1)
        counts, edges = occurrences[:vocab_size], len(parts) // 2
        if not counts.sum() or occurrences[vocab_size] != edges + 1:
            raise ValueError(
                f"no pieces to count, or a piece id equal to the size {vocab_size}"
            )

        pairs, pair_counts = count_keys(ids[:-1] * size + ids[1:])
        first, second = np.divmod(pairs, size)
        unigrams = _smooth(counts)

        # The answer is never an edge: p(w | l) is over pieces only.
        use = second != vocab_size
        keys, used = pairs[use], pair_counts[use]
        discount = _discount(used)
        totals = np.bincount(first[use], used, size)
        distinct = np.bincount(first[use], minlength=size)
        backoff = np.where(totals > 0, discount * distinct / np.maximum(totals, 1), 1.0)
        left = _Side(
            keys=keys,
            values=(used - discount) / totals[first[use]],
            starts=np.searchsorted(keys, np.arange(size + 1) * size),
        )

        use = first != vocab_size
        before, after, used = first[use], second[use], pair_counts[use]
        discount = _discount(used)
        totals = np.bincount(before, used, vocab_size)
        distinct = np.bincount(before, minlength=vocab_size)
        right_backoff = np.where(
            totals > 0, discount * distinct / np.maximum(totals, 1), 1.0
        )
        keys = after * size + before
        order = np.argsort(keys)
        keys = keys[order]
        right = _Side(
            keys=keys,
            values=((used - discount) / totals[before])[order],
            starts=np.searchsorted(keys, np.arange(size + 1) * size),
        )
        neighbours = np.bincount(after, used, vocab_size + 1)
        return cls(
            vocab_size=vocab_size,
            counts=counts,
            unigrams=unigrams,
            left=left,
            right=right,
            left_backoff=backoff,
            right_backoff=right_backoff,
            right_unigrams=np.append(_smooth(neighbours), 1.0),
        )

    def predict(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the likeliest piece int64 [N] between neighbours int [N], [N]."""
        return self._solve(left, right)[0]

    def log_probs(
        self, left: np.ndarray, right: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        """Return ln p(targets | left, right) over all pieces, float64 [N]."""
        return self._log_probs(left, right, targets, self._solve(left, right)[1])

    def evaluate(
        self, left: np.ndarray, right: np.ndarray, targets: np.ndarray
    ) -> MaskedScores:
        """Return accuracy and log-loss at masked positions, int [N] each."""
        best, totals = self._solve(left, right)
        log_probs = self._log_probs(left, right, targets, totals)
        return MaskedScores(
            positions=len(best),
            accuracy=float(np.mean(best == targets)),
            log_loss=float(-np.mean(log_probs)),
        )

    def _neighbours(self, ids: np.ndarray) -> np.ndarray:
        """Return the internal ids of neighbours, int64 [N]."""
        ids = np.asarray(ids).astype(np.int64)
        if len(ids) and not UNKNOWN <= ids.min() <= ids.max() < self.vocab_size:
            raise ValueError(f"neighbours are pieces below {self.vocab_size} or edges")
        return np.where(ids < 0, self.vocab_size - 1 - ids, ids)

    def _factors(
        self,
        pieces: np.ndarray,
        left: np.ndarray,
        right: np.ndarray,
        seen_left: np.ndarray,
        seen_right: np.ndarray,
    ) -> np.ndarray:
        """Return p(w | l) p(r | w) [N] from A and B of internal ids, all [N]."""
        known = right != self.vocab_size + 1
        backoff = np.where(known, self.right_backoff[pieces], 1.0)
        return (seen_left + self.left_backoff[left] * self.unigrams[pieces]) * (
            seen_right + backoff * self.right_unigrams[right]
        )

    def _log_probs(
        self,
        left: np.ndarray,
        right: np.ndarray,
        targets: np.ndarray,
        totals: np.ndarray,
    ) -> np.ndarray:
        left, right = self._neighbours(left), self._neighbours(right)
        targets = np.asarray(targets).astype(np.int64)
        size = self.vocab_size + 2
        seen_left = self.left.lookup(left * size + targets)
        seen_right = self.right.lookup(right * size + targets)
        scores = self._factors(targets, left, right, seen_left, seen_right)
        return np.log(scores / totals)

    def _solve(
        self, left: np.ndarray, right: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best piece int64 [N] and the sum over pieces float64 [N]."""
        size = self.vocab_size + 2
        keys = self._neighbours(left) * size + self._neighbours(right)
        keys, inverse = np.unique(keys, return_inverse=True)
        left, right = np.divmod(keys, size)
        lengths_left = np.diff(self.left.starts)[left]
        lengths_right = np.diff(self.right.starts)[right]

        best, scores, totals = self._solve_apart(left, right)
        for side, lengths, use in (
            (self.left, lengths_left, lengths_left <= lengths_right),
            (self.right, lengths_right, lengths_left > lengths_right),
        ):
            # Where either list is empty no piece is in both.
            use &= np.minimum(lengths_left, lengths_right) > 0
            places = np.flatnonzero(use)
            cuts = np.cumsum(lengths[places]) // CHUNK
            for chunk in np.split(places, np.flatnonzero(np.diff(cuts)) + 1):
                group, words, product, joint = self._seen_by_both(
                    side, left[chunk], right[chunk]
                )
                totals[chunk] += np.bincount(group, product, len(chunk))
                top, top_words = _best_of_runs(group, joint, words, len(chunk))
                better = top > scores[chunk]
                scores[chunk[better]] = top[better]
                best[chunk[better]] = top_words[better]
        return best[inverse], totals[inverse]

    def _seen_by_both(
        self, side: _Side, left: np.ndarray, right: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the pieces seen after left[i] and before right[i], of P pairs.

        `side` is the one whose lists are walked. Four arrays [M]: i, ascending, the
        piece, A times B, and p(w | l) p(r | w).
        """
        size = self.vocab_size + 2
        neighbour, other = (left, right) if side is self.left else (right, left)
        begins = side.starts[neighbour]
        lengths = side.starts[neighbour + 1] - begins
        group = np.repeat(np.arange(len(left)), lengths)
        places = np.arange(len(group)) + (begins - np.cumsum(lengths) + lengths)[group]
        words = side.keys[places] - neighbour[group] * size
        opposite = self.right if side is self.left else self.left
        values, found = find_keys(opposite.keys, other[group] * size + words)
        group, words, mine = group[found], words[found], side.values[places[found]]
        theirs = opposite.values[values]
        seen = (mine, theirs) if side is self.left else (theirs, mine)
        joint = self._factors(words, left[group], right[group], *seen)
        return group, words, mine * theirs, joint

    def _solve_apart(
        self, left: np.ndarray, right: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Solve for pairs of internal ids [P] as if no piece were seen by both sides.

        Returns:
          Best piece int64 [P], its score [P], and the sum over pieces [P].
        """
        size = self.vocab_size + 2
        unknown = right == size - 1
        weight_left, weight_right = self.left_backoff[left], self.right_unigrams[right]
        plain = np.ones(self.vocab_size)
        candidates, total = [], np.zeros(len(left))

        neighbours, pieces = np.divmod(self.left.keys, size)
        either = (self.left_backoff[neighbours] * self.unigrams[pieces]) + (
            self.left.values
        )
        for use, backoff in ((~unknown, self.right_backoff), (unknown, plain)):
            values = self.left.values * backoff[pieces]
            sums = np.bincount(neighbours, values, size)
            overall = self.unigrams * backoff
            total += np.where(
                use, weight_right * (sums[left] + weight_left * overall.sum()), 0.0
            )
            best, words = _best_of_runs(
                neighbours, either * backoff[pieces], pieces, size
            )
            top = np.argmax(overall)
            candidates += [
                (np.where(use, best[left] * weight_right, -np.inf), words[left]),
                (
                    np.where(use, weight_left * weight_right * overall[top], -np.inf),
                    np.full(len(left), top),
                ),
            ]

        neighbours, pieces = np.divmod(self.right.keys, size)
        sums = np.bincount(neighbours, self.unigrams[pieces] * self.right.values, size)
        total += weight_left * sums[right]
        values = self.right.values + (
            self.right_backoff[pieces] * self.right_unigrams[neighbours]
        )
        best, words = _best_of_runs(
            neighbours, self.unigrams[pieces] * values, pieces, size
        )
        candidates.append((weight_left * best[right], words[right]))

        scores = np.stack([score for score, _ in candidates])
        winner = np.argmax(scores, axis=0)[None]
        words = np.stack([words for _, words in candidates])
        return (
            np.take_along_axis(words, winner, 0)[0],
            np.take_along_axis(scores, winner, 0)[0],
            total,
        )
