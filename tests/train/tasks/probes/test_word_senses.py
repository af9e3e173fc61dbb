# SPDX-License-Identifier: Apache-2.0
import gzip
import json
from collections import Counter
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from train.tasks.probes.word_senses import (
    UNANSWERED,
    Occurrence,
    SenseSentence,
    SenseTable,
    expression_vectors,
    first_senses,
    is_ambiguous,
    kept_words,
    nearest_senses,
    read_senses,
    score_senses,
    split_documents,
    tabulate,
)

LINES = [
    {
        "id": "a/b-1.s1",
        "tokens": ["The", "Grand_Jury", "took_place", "_", "near", "banks"],
        "pos": ["DT", "NNP", "VBD", "PUNC", "IN", "NOUN"],
        "senses": [[5, "bank", "b1"], [1, "group", "g%1", None], [2, "take", "t"]],
    },
    {"id": "a/b-1.s2", "tokens": ["no", "."], "pos": ["DT", ""], "senses": []},
    {
        "id": "c.s1",
        "tokens": ["_to", "bank"],
        "pos": ["CONJ", "VB"],
        "senses": [[0, "to", "x", "y"], [1, "bank", "b1"]],
    },
]


def write(path: Path, lines: list) -> Path:
    text = "\n".join(json.dumps(line) for line in lines)
    with gzip.open(path, "wt") as file:
        file.write(text)
    return path


@pytest.fixture
def sentences(tmp_path: Path) -> list[SenseSentence]:
    return read_senses(write(tmp_path / "a.jsonl.gz", LINES))


def test_sentences(sentences: list[SenseSentence], tmp_path: Path):
    first, second = sentences
    assert first.words == (
        "The",
        "Grand",
        "Jury",
        "took",
        "place",
        "_",
        "near",
        "banks",
    )
    assert first.document == "a/b-1"
    assert first.occurrences == (
        Occurrence(1, 3, "group NOUN", "g%1"),
        Occurrence(3, 5, "take VERB", "t"),
        Occurrence(7, 8, "bank NOUN", "b1"),
    )
    assert second.words == ("to", "bank")
    assert [one.lemma for one in second.occurrences] == ["to CONJ", "bank VERB"]
    plain = tmp_path / "a.jsonl"
    plain.write_text("\n".join(map(json.dumps, LINES)))
    assert read_senses(plain) == sentences


@pytest.mark.parametrize(
    "change",
    [
        {"senses": [[9, "bank", "b"]]},
        {"senses": [[0, "bank"]]},
        {"tokens": None},
        {"pos": []},
    ],
)
def test_a_bad_line_is_named(change: dict, tmp_path: Path):
    path = write(tmp_path / "a.jsonl.gz", [LINES[0], {**LINES[2], **change}])
    with pytest.raises(ValueError, match=r"a\.jsonl\.gz:2: no sentence with senses"):
        read_senses(path)


def test_a_file_without_senses(tmp_path: Path):
    with pytest.raises(ValueError, match="has no senses"):
        read_senses(write(tmp_path / "a.jsonl.gz", LINES[1:2]))


def test_an_expression_is_the_mean_of_its_words(sentences: list[SenseSentence]):
    assert kept_words(sentences[0]).tolist() == [1, 2, 3, 4, 7]
    rows = np.arange(7, dtype=np.float16)[:, None] ** 2
    # Words 1 2, 3 4 and 7 of the first sentence, then two of the second.
    vectors = expression_vectors(sentences, rows)
    assert vectors[:, 0].tolist() == [0.5, 6.5, 16, 25, 36]


def test_a_sense_belongs_to_its_lemma(sentences: list[SenseSentence]):
    table = tabulate(sentences)
    assert table.lemmas.tolist() == [0, 1, 2, 3, 4]
    # b1 of the noun and b1 of the verb.
    assert table.senses.tolist() == [0, 1, 2, 3, 4]
    assert table.documents.tolist() == [0, 0, 0, 1, 1]


def test_first_senses_by_hand():
    # Lemma 0 has senses 0 and 1, lemma 1 a tie of 2 and 3, lemma 2 is of the test only,
    # lemma 3 has one sense.
    lemmas = np.array([0, 0, 0, 0, 1, 1, 1, 2, 3, 3])
    senses = np.array([0, 1, 1, 0, 3, 2, 2, 4, 5, 5])
    in_test = np.array([0, 0, 0, 1, 0, 0, 1, 1, 0, 1], bool)
    table = SenseTable(lemmas, senses, in_test.astype(int))
    answers = first_senses(table, in_test)
    assert answers.tolist() == [-1, -1, -1, 1, -1, -1, 3, UNANSWERED, -1, 5]
    assert is_ambiguous(table, in_test).tolist() == [True] * 7 + [False] * 3
    assert score_senses(table, in_test, answers) == (25, 0)
    answers[3] = 0
    assert score_senses(table, in_test, answers) == (50, 50)


def slowly_nearest(
    table: SenseTable, in_test: np.ndarray, vectors: np.ndarray
) -> list[int]:
    """One test occurrence at a time, one sense at a time."""
    answers = []
    for index in range(len(table.senses)):
        best, best_cosine = UNANSWERED, -2.0
        seen = [
            other
            for other in range(len(table.senses))
            if not in_test[other] and table.lemmas[other] == table.lemmas[index]
        ]
        counts = Counter(int(table.senses[other]) for other in seen)
        for sense, _ in counts.most_common() if in_test[index] else []:
            mean = np.mean(
                [vectors[other] for other in seen if table.senses[other] == sense],
                axis=0,
            )
            norms = np.linalg.norm(mean) * np.linalg.norm(vectors[index])
            cosine = mean @ vectors[index] / norms
            if cosine > best_cosine + 1e-9:
                best, best_cosine = sense, cosine
        answers.append(best)
    return answers


@hypothesis.given(st.integers(0, 10**6), st.integers(2, 60))
def test_nearest_senses_as_a_slow_loop(seed: int, count: int):
    random = np.random.default_rng(seed)
    lemmas = random.integers(0, 5, count)
    senses = 3 * lemmas + random.integers(0, 3, count)
    documents = np.append(random.integers(0, 4, count - 2), [0, 1])
    table = SenseTable(lemmas, senses, documents)
    in_test = split_documents(documents, seed)
    vectors = random.normal(size=(count, 4)) + 1
    found = nearest_senses(table, in_test, vectors)
    assert found.tolist() == slowly_nearest(table, in_test, vectors)


def test_similar_contexts_are_found():
    """Two senses in two directions, of which the rare one is asked for."""
    table = SenseTable(np.zeros(5, int), np.array([0, 0, 0, 1, 1]), np.arange(5))
    vectors = np.array([[9, 0], [8, 1], [9, 1], [0, 1], [0, 0.1]], np.float16)
    in_test = np.arange(5) == 4
    assert nearest_senses(table, in_test, vectors)[4] == 1
    assert first_senses(table, in_test)[4] == 0


@hypothesis.given(st.integers(0, 99), st.integers(2, 40))
def test_documents_are_not_torn(seed: int, count: int):
    documents = np.repeat(np.arange(count), 3)
    in_test = split_documents(documents, seed)
    assert not set(documents[in_test]) & set(documents[~in_test])
    assert len(set(documents[in_test])) == max(round(0.2 * count), 1)
    np.testing.assert_array_equal(in_test, split_documents(documents, seed))


def test_other_seeds_choose_other_documents():
    documents = np.arange(100)
    chosen = {tuple(split_documents(documents, seed)) for seed in range(5)}
    assert len(chosen) == 5
    with pytest.raises(ValueError, match="one document"):
        split_documents(np.zeros(3, int), 0)


@pytest.mark.data
def test_masc_has_as_many_senses_as_its_source_says(data_dir: Path):
    sentences = read_senses(data_dir / "wsd_semcor_masc/masc_noad.jsonl.gz")
    assert sum(len(sentence.occurrences) for sentence in sentences) == 136_544
    assert all(sentence.words for sentence in sentences)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes("a\tb\tc\n".encode("utf-16"))
    with pytest.raises(ValueError, match="but UTF-16"):
        read_senses(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="git lfs pull"):
        read_senses(path)
