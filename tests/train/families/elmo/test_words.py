# SPDX-License-Identifier: Apache-2.0
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmo_jax.characters import character_rows
from elmo_jax.vocabulary import SPECIALS, read_vocabulary, write_vocabulary
from train.families.elmo.words import (
    WordShard,
    WordStore,
    count_words,
    join_shards,
    make_vocabulary,
    splitter,
)

TEXT = [
    [["the", "cat", "sat"], ["the", "end"]],
    [["a", "cat", "naïve\x85", "the"], ["日本", "cat"]],
]


def write_shards(directory: Path, documents: list[list[list[str]]]) -> list[Path]:
    """One document a shard."""
    paths = []
    for number, document in enumerate(documents):
        paths.append(directory / f"shard{number}")
        paths[-1].mkdir(parents=True)
        with WordShard(paths[-1]) as shard:
            shard.append(document)
    return paths


def write_text(
    directory: Path, documents: list[list[list[str]]], vocab_size: int = 6
) -> WordStore:
    shards = write_shards(directory, documents)
    counts = count_words(shards)
    num_sentences = sum(map(len, documents))
    vocabulary = make_vocabulary(counts, num_sentences, vocab_size, 1)
    write_vocabulary(directory / "vocab.txt", vocabulary)
    join_shards(shards, directory / "train", counts, vocabulary, 8)
    return WordStore.open(directory / "train")


@pytest.fixture
def store(tmp_path: Path) -> WordStore:
    return write_text(tmp_path, TEXT)


def test_words_come_back_those_outside_the_vocabulary_too(store: WordStore) -> None:
    read = [
        [store.types[i] for i in store.sentence(s)] for s in range(store.num_sentences)
    ]
    assert read == [sentence for document in TEXT for sentence in document]
    assert store.document_starts.tolist() == [0, 2, 4]


def test_types_are_distinct_and_the_frequent_ones_come_first(store: WordStore) -> None:
    # By code points where they occur as often.
    assert store.types == ["cat", "the", "a", "end", "naïve\x85", "sat", "日本"]


def test_targets_are_of_the_vocabulary(store: WordStore) -> None:
    assert store.vocabulary.words == (*SPECIALS, "cat", "the", "a")
    assert store.targets.dtype == np.int32
    assert store.targets.tolist() == [3, 4, 5, 2, 2, 2, 2]


def test_characters_are_those_that_the_model_reads(store: WordStore) -> None:
    assert store.characters.dtype == np.uint16
    np.testing.assert_array_equal(store.characters, character_rows(store.types, 8))


def test_the_vocabulary_counts_the_text(store: WordStore) -> None:
    # Boundaries as often as there are sentences, and four words outside.
    assert store.vocabulary.counts == (4, 4, 4, 3, 3, 1)


def test_held_out_words_are_types_of_their_own(tmp_path: Path) -> None:
    store = write_text(tmp_path, TEXT)
    shards = write_shards(tmp_path / "held_out_shards", [[["the", "dog"]]])
    counts = count_words(shards)
    join_shards(shards, tmp_path / "held_out", counts, store.vocabulary, 8)
    held_out = WordStore.open(tmp_path / "held_out")
    assert held_out.types == ["dog", "the"]
    assert held_out.targets.tolist() == [2, 4]


def test_no_text_is_an_empty_store(tmp_path: Path) -> None:
    write_text(tmp_path, TEXT)
    vocabulary = read_vocabulary(tmp_path / "vocab.txt")
    join_shards([], tmp_path / "held_out", {}, vocabulary, 8)
    held_out = WordStore.open(tmp_path / "held_out")
    assert held_out.num_sentences == 0
    assert held_out.types == []
    assert held_out.characters.shape == (0, 8)


# Texts with a NUL are refused when they are opened.
CHARACTERS_OF_WORDS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
WORDS = st.text(CHARACTERS_OF_WORDS, min_size=1).filter(
    lambda word: word.split() == [word]
)


@given(st.lists(WORDS, min_size=1))
def test_any_words_survive(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    store = write_text(tmp_path_factory.mktemp("any"), [[words]], vocab_size=1000)
    assert [store.types[i] for i in store.sentence(0)] == words
    assert set(store.types) <= {*store.vocabulary.words, "!!!MAXTERMID"}


@given(
    st.dictionaries(st.sampled_from([*"abcdefghij", *SPECIALS]), st.integers(1, 5)),
    st.integers(4, 12),
)
def test_vocabularies_do_not_depend_on_the_order_of_the_text(
    counts: dict[str, int], size: int
) -> None:
    backwards = dict(reversed(counts.items()))
    vocabulary = make_vocabulary(counts, 7, size, 2)
    assert vocabulary == make_vocabulary(backwards, 7, size, 2)
    assert len(vocabulary) <= size
    assert vocabulary.words[:3] == SPECIALS
    assert min(vocabulary.counts[3:], default=2) >= 2
    assert sum(vocabulary.counts[2:]) == sum(counts.values())


def test_specials_in_the_text_stay_specials() -> None:
    vocabulary = make_vocabulary(Counter({"<UNK>": 9, "<S>": 8, "a": 1}), 5, 9, 1)
    assert vocabulary.words == (*SPECIALS, "a")


def test_splits_are_moses_and_white_space() -> None:
    assert splitter("moses")("It didn't.") == ["It", "didn", "'t", "."]
    assert splitter("whitespace")("It  didn't.") == ["It", "didn't."]


def test_a_store_of_another_vocabulary_is_refused(store: WordStore) -> None:
    vocabulary = store.path.parent / "vocab.txt"
    vocabulary.write_text("<S>\n</S>\n<UNK>\n")
    with pytest.raises(ValueError, match=r"targets\.npy is of a larger vocabulary"):
        WordStore.open(store.path)


def test_files_that_do_not_belong_together_are_named(store: WordStore) -> None:
    # As one of an earlier version: with checksums, a file that is another is damaged.
    (store.path / "checksums.json").unlink()
    (store.path / "types.txt").write_text("one\n")
    with pytest.raises(ValueError, match=r"types\.txt has 1 words, but there are 7"):
        _ = WordStore.open(store.path).types
    np.save(store.path / "targets.npy", np.zeros(6, np.int32))
    with pytest.raises(ValueError, match=r"targets\.npy has 6 types, but .* 7"):
        WordStore.open(store.path)
    (store.path / "characters.npy").unlink()
    with pytest.raises(ValueError, match=r"characters\.npy: no such file"):
        WordStore.open(store.path)


def test_a_token_that_is_no_type_is_refused_though_there_are_no_checksums(
    store: WordStore,
) -> None:
    tokens = store.tokens.copy()
    tokens[5] = 7
    np.save(store.path / "tokens.npy", tokens)
    (store.path / "checksums.json").unlink()
    with pytest.raises(ValueError, match=r"tokens\.npy holds token 7, but .* has 7"):
        WordStore.open(store.path)
