# SPDX-License-Identifier: Apache-2.0
"""What is held out of a single file, and what nothing can be found in."""

import pytest

from train.tasks.data.conll import TaggedSentence, write_conll
from train.tasks.data.tagged_splits import TaggedData, check_entities, read_tagged


def write(path, num_sentences, num_documents=1, name="PER"):
    write_conll(
        path,
        [[f"w{number}", "x"] for number in range(num_sentences)],
        [[f"B-{name}", "O"]] * num_sentences,
        documents=[n * num_documents // num_sentences for n in range(num_sentences)],
    )
    return str(path)


def words_of(splits):
    return {name: [s.words[0] for s in held] for name, held in splits.sentences.items()}


def test_a_fraction_of_a_file_is_held_out(tmp_path):
    data = write(tmp_path / "one.conll", 40)
    splits = read_tagged(data, TaggedData(test_fraction=0.2), seed=3)
    words = words_of(splits)
    assert {name: len(held) for name, held in words.items()} == {
        "train": 24,
        "dev": 8,
        "test": 8,
    }
    every = [word for held in words.values() for word in held]
    assert sorted(every) == sorted(f"w{n}" for n in range(40))
    # In the order of the file, and not its end.
    assert [int(word[1:]) for word in words["test"]] == sorted(
        int(word[1:]) for word in words["test"]
    )
    assert words["test"] != [f"w{number}" for number in range(32, 40)]
    assert splits.said == (
        "20% of the sentences of one.conll held out for test and as many for dev, "
        "sentences, drawn with seed 3"
    )
    again = read_tagged(data, TaggedData(test_fraction=0.2), seed=3)
    assert words_of(again) == words
    other = read_tagged(data, TaggedData(test_fraction=0.2), seed=4)
    assert words_of(other)["test"] != words["test"]


def test_documents_are_not_divided_where_there_are_many(tmp_path):
    data = write(tmp_path / "one.conll", 60, num_documents=12)
    splits = read_tagged(data, TaggedData(test_fraction=0.25))
    assert "whole documents, of 12, drawn with seed 0" in (splits.said or "")
    documents = [
        {sentence.document for sentence in held} for held in splits.sentences.values()
    ]
    assert [len(held) for held in documents] == [6, 3, 3]
    assert len(set.union(*documents)) == 12


def test_a_folder_without_a_test_keeps_its_dev(tmp_path):
    write(tmp_path / "train.conll", 20)
    write(tmp_path / "dev.conll", 3)
    splits = read_tagged(str(tmp_path), TaggedData(test_fraction=0.5))
    counts = {name: len(held) for name, held in splits.sentences.items()}
    assert counts == {"train": 10, "dev": 3, "test": 10}
    write(tmp_path / "test.conll", 3)
    with pytest.raises(ValueError, match=r"0.5: .* has test.conll for the test; leave"):
        read_tagged(str(tmp_path), TaggedData(test_fraction=0.5))
    given = read_tagged(str(tmp_path), TaggedData())
    assert given.said is None
    assert len(given.sentences["test"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"one.conll is one file; add --test-fraction 0.2"),
        ({"test_fraction": 1.0}, r"test_fraction must be above 0 and below 1, not 1.0"),
        ({"test_fraction": 0.0}, r"test_fraction must be above 0 and below 1, not 0.0"),
        ({"test_fraction": 0.6}, r"train split has no sentences, of 4 that are div"),
        ({"test_fraction": 0.2, "tag_column": "7"}, r"no column 7; there are 2"),
    ],
)
def test_what_cannot_be_divided_is_said(tmp_path, options, message):
    data = write(tmp_path / "one.conll", 4)
    with pytest.raises(ValueError, match=message):
        read_tagged(data, TaggedData(**options))


def test_a_data_set_of_tfds_has_splits_and_no_columns():
    with pytest.raises(ValueError, match="has its test split for the test; leave one"):
        read_tagged("tfds:conll2003", TaggedData(test_fraction=0.2))
    with pytest.raises(ValueError, match="tfds:conll2003 has no columns"):
        read_tagged("tfds:conll2003", TaggedData(column="2"))


def tagged(*tags):
    return {
        name: [TaggedSentence(("w",), (tag,))]
        for name, tag in zip(("train", "dev", "test"), tags, strict=True)
    }


def test_where_nothing_can_be_found_it_is_said_why():
    with pytest.raises(ValueError, match="no word of train has another tag than O"):
        check_entities(tagged("O", "B-A", "B-A"), "one.conll")
    assert check_entities(tagged("B-A", "O", "B-C"), "one.conll") == [
        "dev has no entity, so nothing can be found in it",
        "test has entities of C only, and train of A, so none of them can be found",
    ]


def test_entities_that_can_be_found_are_enough():
    sentence = TaggedSentence(("w", "x"), ("B-A", "O"))
    splits = {name: [sentence] for name in ("train", "dev", "test")}
    assert check_entities(splits, "one.conll") == []
