# SPDX-License-Identifier: Apache-2.0
"""Cutting of a corpus into BERT's instances: pairs of passages, or single passages.

As in the published program of Devlin et al. 2019 (section 3.1 and appendix A.2). An
instance is five numbers, ranges of tokens and a label; tokens are looked up later.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from train.data.store import TokenStore

Pairs = Literal["nsp", "sop", "none"]
"""The kind of pairs. nsp: the second passage follows the first or is random
(next-sentence prediction, as published); sop: it follows or precedes it (sentence-order
prediction, Lan et al. 2020); none: no pairs, but whole sentences of one document
(DOC-SENTENCES of Liu et al. 2019)."""

ShortFor = Literal["document", "chunk"]
"""What a short length is drawn for. document: for all chunks of a document together, as
in the published program, so that short chunks are more than their share, for there are
more of them in a document; chunk: for each by itself."""

IN_ORDER, RANDOM, SWAPPED, UNLABELLED = 0, 1, 1, -1


class Instances(NamedTuple):
    """Passages as ranges of a store's tokens, without specials.

    Attributes:
      first: start and number of tokens of the first passage, int64.
      second: likewise of the second passage; of length 0 where there is none.
      labels: 0 where the second follows the first, 1 where it does not, -1 without a
        label.
    """

    first: Int[np.ndarray, "N 2"]
    second: Int[np.ndarray, "N 2"]
    labels: Int[np.ndarray, " N"]

    @property
    def lengths(self) -> Int[np.ndarray, " N"]:
        """Tokens of each instance, with a special before and one after each passage."""
        has_second = self.second[:, 1] > 0
        return self.first[:, 1] + self.second[:, 1] + 2 + has_second

    def take(self, indices: Int[np.ndarray, " M"]) -> "Instances":
        """Return the instances at the given indices."""
        return Instances(*(array[indices] for array in self))


def cut(
    store: TokenStore,
    rng: np.random.Generator,
    *,
    pairs: Pairs,
    length: int,
    short_rate: float,
    documents: Int[np.ndarray, " D"],
    short_for: ShortFor = "document",
) -> Instances:
    """Cut documents into instances; every sentence is in at least one of them.

    Args:
      store: the corpus.
      rng: for the random choices.
      pairs: the kind of pairs.
      length: maximal tokens of an instance, specials included.
      short_rate: share of documents, or of chunks, with a random shorter length, so
        that short texts are learnt too.
      documents: the documents, in the order in which they are cut.
      short_for: what a length is drawn for.
    """
    room = length - (2 if pairs == "none" else 3)
    cutter = _Cutter(store, rng, room, short_rate, short_for)
    for document in documents.tolist():
        if pairs == "none":
            cutter.cut_sentences(document)
        else:
            cutter.cut_pairs(document, is_nsp=pairs == "nsp")
    rows = np.array(cutter.instances, np.int64).reshape(-1, 5)
    return Instances(rows[:, 0:2], rows[:, 2:4], rows[:, 4])


def has_pairs(store: TokenStore, length: int) -> bool:
    """Return whether two passages that follow each other can make an instance.

    Args:
      store: the corpus.
      length: maximal tokens of an instance, specials included.
    """
    lengths = np.diff(store.sentence_starts)
    is_followed = np.ones(len(lengths), bool)
    ends = store.document_starts[1:]
    is_followed[ends[ends > 0] - 1] = False
    return bool((lengths[is_followed] < length - 3).any())


class _Cutter:
    """Collects the instances of documents, as rows of five numbers."""

    def __init__(
        self,
        store: TokenStore,
        rng: np.random.Generator,
        room: int,
        short_rate: float,
        short_for: ShortFor,
    ) -> None:
        self._starts = store.sentence_starts
        self._documents = store.document_starts
        self._rng, self._room = rng, room
        self._short_rate, self._short_for = short_rate, short_for
        self.instances: list[tuple[int, int, int, int, int]] = []

    def cut_sentences(self, document: int) -> None:
        """Fill instances with whole sentences; a sentence that is too long is cut."""
        first, last = self._documents[document : document + 2].tolist()
        bounds = self._starts[first : last + 1].tolist()
        next_target = self._targets()
        begin, target = bounds[0], next_target()
        for end, following in zip(bounds[1:], [*bounds[2:], None], strict=True):
            while end - begin > self._room:
                self._add_single(begin, self._room)
                begin += self._room
            if following is None or following - begin > target:
                if end > begin:
                    self._add_single(begin, end - begin)
                begin, target = end, next_target()

    def cut_pairs(self, document: int, *, is_nsp: bool) -> None:
        """Collect sentences up to a length, and divide them at a random sentence."""
        sentence, last = self._documents[document : document + 2].tolist()
        bounds = self._starts[sentence : last + 1].tolist()
        offset = sentence
        next_target = self._targets()
        while sentence < last:
            target = next_target()
            begin, end = sentence, sentence + 1
            while end < last and bounds[end - offset] - bounds[begin - offset] < target:
                end += 1
            number = end - begin
            divide = begin + (
                int(self._rng.integers(1, number)) if number > 1 else number
            )
            a_start, a_end, b_end = (bounds[at - offset] for at in (begin, divide, end))
            sentence = end
            if is_nsp and (number == 1 or self._rng.random() < 0.5):
                # The sentences that were to follow are used in the next instance.
                sentence = divide
                elsewhere = self._elsewhere(
                    document, (begin, divide), target - (a_end - a_start)
                )
                if elsewhere is None:
                    self._add_pair((a_start, a_end), (a_end, a_end), UNLABELLED)
                    continue
                (b_start, b_end), label = elsewhere, RANDOM
            elif number == 1:
                self._add_pair((a_start, a_end), (a_end, a_end), UNLABELLED)
                continue
            else:
                b_start, label = a_end, IN_ORDER
            passages = (a_start, a_end), (b_start, b_end)
            if not is_nsp and self._rng.random() < 0.5:
                passages, label = passages[::-1], SWAPPED
            self._add_pair(passages[0], passages[1], label)

    def _targets(self) -> Callable[[], int]:
        """Return what gives the target of each chunk of a document."""
        if self._short_for == "chunk":
            return self._draw_target
        target = self._draw_target()
        return lambda: target

    def _draw_target(self) -> int:
        if self._short_rate and self._rng.random() < self._short_rate:
            return int(self._rng.integers(2, self._room + 1))
        return self._room

    def _elsewhere(
        self, document: int, sentences: tuple[int, int], wanted: int
    ) -> tuple[int, int] | None:
        """Return a passage of another document, if possible of the wanted length.

        If no other is found, as in a corpus of one, the passage is of the same
        document: all of it before the first passage, or beginning after the sentence
        that follows it, so that it neither overlaps nor continues it. The published
        program takes any, and calls it random. None where there is no such place.
        """
        other = document
        for _ in range(10):
            other = int(self._rng.integers(len(self._documents) - 1))
            if other != document:
                break
        first, last = self._documents[other : other + 2].tolist()
        if other != document:
            begin = int(self._rng.integers(first, last))
        else:
            before, after = sentences[0], min(sentences[1] + 1, last)
            num_places = (before - first) + (last - after)
            if not num_places:
                return None
            begin = first + int(self._rng.integers(num_places))
            if begin < before:
                last = before
            else:
                begin += after - before
        end = begin + 1
        while end < last and self._starts[end] - self._starts[begin] < wanted:
            end += 1
        return int(self._starts[begin]), int(self._starts[end])

    def _add_single(self, begin: int, length: int) -> None:
        self.instances.append((begin, length, 0, 0, UNLABELLED))

    def _add_pair(
        self, first: tuple[int, int], second: tuple[int, int], label: int
    ) -> None:
        """Add a pair; the longer passage is shortened token by token at random ends."""
        (a, a_end), (b, b_end) = first, second
        lengths = [a_end - a, b_end - b]
        excess = sum(lengths) - self._room
        if excess > 0:
            shorter = min(lengths)
            # Once both are equally long they are shortened in turn.
            longest = max(self._room - shorter, (self._room + 1) // 2)
            kept = [min(length, longest) for length in lengths]
            if sum(kept) > self._room:
                kept[1] -= sum(kept) - self._room
            cuts = [length - keep for length, keep in zip(lengths, kept, strict=True)]
            fronts = [int(self._rng.binomial(cut, 0.5)) if cut else 0 for cut in cuts]
            a, b = a + fronts[0], b + fronts[1]
            lengths = kept
        self.instances.append((a, lengths[0], b, lengths[1], label))
