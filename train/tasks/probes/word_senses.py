# SPDX-License-Identifier: Apache-2.0
"""Word sense disambiguation by the nearest sense vector (Peters et al. 2018, 5.3).

The vector of a sense is the mean of its occurrences in the training documents. A word
of a test document gets the sense whose vector has the greatest cosine with its own,
among those that its lemma has in training with the same part of speech.

The paper takes first senses from WordNet; these data have no such list. So the first
sense is the most frequent one in training, and a lemma that training lacks is
unanswered, which counts as wrong for all methods.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from embed_jax.corpus.lines import read_lines
from embed_jax.files.json_file import parse_json

# Of Penn Treebank tags; universal ones are told apart as they are.
COARSE = {"NN": "NOUN", "VB": "VERB", "JJ": "ADJ", "RB": "ADV"}
UNANSWERED = -1
TEST_SHARE = 0.2


class Occurrence(NamedTuple):
    """A word, or several that are one expression, with its sense.

    Attributes:
      start: index of its first word in the sentence.
      stop: index after its last word.
      lemma: with its part of speech, "bank NOUN".
      sense: as named in the data.
    """

    start: int
    stop: int
    lemma: str
    sense: str


@dataclass(frozen=True)
class SenseSentence:
    """A sentence with senses.

    Attributes:
      words: the input of an encoder, expressions split into words.
      document: the name of its document.
      occurrences: in order; they do not overlap.
    """

    words: tuple[str, ...]
    document: str
    occurrences: tuple[Occurrence, ...]


class SenseTable(NamedTuple):
    """All N occurrences of a corpus, as ids.

    Attributes:
      lemmas: the lemma of each occurrence.
      senses: the sense of each occurrence.
      documents: the document of each occurrence.
    """

    lemmas: Int[np.ndarray, " N"]
    senses: Int[np.ndarray, " N"]
    documents: Int[np.ndarray, " N"]


class SenseScore(NamedTuple):
    """Scores of word sense disambiguation, in percent.

    Attributes:
      f1: of all test occurrences; unanswered ones are wrong, so it is the recall.
      ambiguous_f1: of those whose lemma has two senses or more in training.
    """

    f1: float
    ambiguous_f1: float


def read_senses(path: Path) -> list[SenseSentence]:
    """Read the sentences that have senses.

    Args:
      path: JSON lines, gzipped if the name ends in .gz, each with the fields id
        (`DOCUMENT.sNUMBER`), tokens, pos, and senses: lists of the token's index, its
        lemma and its sense. Tokens joined by "_" are several words.

    Raises:
      ValueError: a line is malformed; names it.
      OSError: the file cannot be read.
    """
    sentences = []
    for number, line in enumerate(read_lines(path), start=1):
        record = parse_json(line, f"{path}:{number}")
        try:
            sentence = _parse_sentence(record)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"{path}:{number}: no sentence with senses ({error!r}); expected "
                'an object of "id", "tokens", "pos" and "senses"'
            ) from error
        if sentence.occurrences:
            sentences.append(sentence)
    if not sentences:
        raise ValueError(f"{path} has no senses")
    return sentences


def _parse_sentence(record: dict) -> SenseSentence:
    words: list[str] = []
    starts = []
    for token in record["tokens"]:
        starts.append(len(words))
        # A token of "_" alone is a word.
        words.extend([part for part in token.split("_") if part] or [token])
    starts.append(len(words))
    occurrences = []
    for index, lemma, sense, *_ in record["senses"]:
        tag = record["pos"][index]
        lemma = f"{lemma} {COARSE.get(tag[:2], tag) if tag.isupper() else tag}"
        occurrences.append(Occurrence(starts[index], starts[index + 1], lemma, sense))
    document = record["id"].rpartition(".s")[0]
    return SenseSentence(tuple(words), document, tuple(sorted(occurrences)))


def kept_words(sentence: SenseSentence) -> Int[np.ndarray, " _"]:
    """Return the indices of the words of a sentence's occurrences, in order."""
    ranges = [np.arange(start, stop) for start, stop, *_ in sentence.occurrences]
    return np.concatenate(ranges)


def tabulate(sentences: Sequence[SenseSentence]) -> SenseTable:
    """Number lemmas, senses and documents in the order of appearance.

    A sense belongs to its lemma: the same name with another lemma is another sense.
    """
    rows = [
        (one.lemma, (one.lemma, one.sense), sentence.document)
        for sentence in sentences
        for one in sentence.occurrences
    ]
    return SenseTable(*(_number(column) for column in zip(*rows, strict=True)))


def _number(names: Sequence) -> Int[np.ndarray, " N"]:
    numbers: dict = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names])


def expression_vectors(
    sentences: Sequence[SenseSentence], vectors: Float[np.ndarray, "rows width"]
) -> Float[np.ndarray, "N width"]:
    """Return the vector of each occurrence: its word's, or the mean of its words'.

    Args:
      sentences: in the order of the vectors.
      vectors: of `kept_words`.
    """
    lengths = np.array(
        [one.stop - one.start for sentence in sentences for one in sentence.occurrences]
    )
    starts = np.cumsum(lengths) - lengths
    result = vectors[starts]
    for index in np.flatnonzero(lengths > 1):
        words = vectors[starts[index] : starts[index] + lengths[index]]
        result[index] = words.mean(axis=0, dtype=np.float32)
    return result


def split_documents(
    documents: Int[np.ndarray, " N"], seed: int, share: float = TEST_SHARE
) -> Bool[np.ndarray, " N"]:
    """Choose test documents at random; return which occurrences are in one.

    Args:
      documents: of the occurrences, numbered from 0.
      seed: of the choice.
      share: of the documents, rounded; at least one document.

    Raises:
      ValueError: there are fewer than two documents.
    """
    count = int(documents.max()) + 1
    if count < 2:
        raise ValueError("all senses are of one document; a split takes two or more")
    held_out = min(max(round(share * count), 1), count - 1)
    chosen = np.random.default_rng(seed).permutation(count)[:held_out]
    return np.isin(documents, chosen)


def first_senses(
    table: SenseTable, in_test: Bool[np.ndarray, " N"]
) -> Int[np.ndarray, " N"]:
    """Predict for each test occurrence its lemma's most frequent sense in training.

    Returns:
      The senses; of equally frequent ones the one seen first. `UNANSWERED` for lemmas
      that training lacks, and for training occurrences.
    """
    return _answer(table, in_test, None)


def nearest_senses(
    table: SenseTable,
    in_test: Bool[np.ndarray, " N"],
    vectors: Float[np.ndarray, "N width"],
) -> Int[np.ndarray, " N"]:
    """Predict for each test occurrence the sense with the nearest vector.

    Args:
      table: the occurrences.
      in_test: True for test occurrences; sense vectors are means of the others.
      vectors: of all occurrences, any float dtype.

    Returns:
      The senses, as `first_senses`.
    """
    return _answer(table, in_test, vectors)


def score_senses(
    table: SenseTable,
    in_test: Bool[np.ndarray, " N"],
    answers: Int[np.ndarray, " N"],
) -> SenseScore:
    """Score the predicted senses of the test occurrences."""
    hits = answers == table.senses
    ambiguous = in_test & is_ambiguous(table, in_test)
    return SenseScore(_percent(hits[in_test]), _percent(hits[ambiguous]))


def is_ambiguous(
    table: SenseTable, in_test: Bool[np.ndarray, " N"]
) -> Bool[np.ndarray, " N"]:
    """Return for each occurrence whether its lemma has several senses in training."""
    # One training occurrence of each sense.
    _, ones = np.unique(table.senses[~in_test], return_index=True)
    senses = np.bincount(
        table.lemmas[~in_test][ones], minlength=int(table.lemmas.max()) + 1
    )
    return senses[table.lemmas] >= 2


def _answer(
    table: SenseTable,
    in_test: Bool[np.ndarray, " N"],
    vectors: Float[np.ndarray, "N width"] | None,
) -> Int[np.ndarray, " N"]:
    answers = np.full(len(table.senses), UNANSWERED)
    for rows in _lemma_groups(table.lemmas):
        asked, seen = rows[in_test[rows]], rows[~in_test[rows]]
        if not len(asked) or not len(seen):
            continue
        # Most frequent first; of equals the one seen first.
        counts = Counter(table.senses[seen].tolist())
        candidates = np.array([sense for sense, _ in counts.most_common()])
        choice = np.zeros(len(asked), int)
        if vectors is not None and len(candidates) > 1:
            belongs = table.senses[seen] == candidates[:, None]
            choice = _nearest(vectors[seen], belongs, vectors[asked])
        answers[asked] = candidates[choice]
    return answers


def _nearest(
    examples: Float[np.ndarray, "examples width"],
    belongs: Bool[np.ndarray, "senses examples"],
    queries: Float[np.ndarray, "queries width"],
) -> Int[np.ndarray, " queries"]:
    """Return the sense whose mean has the greatest cosine; of equals the first."""
    # The sum points where the mean does.
    sums = belongs.astype(np.float32) @ examples.astype(np.float32)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    directions = sums / np.maximum(norms, np.finfo(np.float32).tiny)
    # The query's own length is the same for every sense.
    return (queries.astype(np.float32) @ directions.T).argmax(axis=1)


def _lemma_groups(lemmas: Int[np.ndarray, " N"]) -> list[Int[np.ndarray, " _"]]:
    """List the occurrences of each lemma, in their order."""
    order = np.argsort(lemmas, kind="stable")
    boundaries = np.flatnonzero(np.diff(lemmas[order])) + 1
    return np.split(order, boundaries)


def _percent(hits: Bool[np.ndarray, " _"]) -> float:
    return 100 * float(hits.mean()) if len(hits) else float("nan")
