# SPDX-License-Identifier: Apache-2.0
"""Each word is predicted once, at its first piece, from the row that shows most."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bert_jax
from tests.train.tasks.finetuning_data import PIECES
from train.families.bert.sequence_examples import sequence_rows
from train.families.bert.token_examples import token_rows
from train.tasks.data.conll import TaggedSentence
from train.tasks.finetune.classification import LabelledText
from train.tasks.finetune.classified_rows import IGNORED, judge_rows

TOKENIZER = bert_jax.WordPieceTokenizer.from_vocab(PIECES, cased=False, max_length=64)
# "banks" is two pieces, and the control character none.
VOCABULARY = ("the", "bank", "banks", "rivers", "\u0001", "saw")


def sentence(words, document=0):
    tags = tuple(f"B-{index}" for index in range(len(words)))
    return TaggedSentence(tuple(words), tags, line=1, document=document)


@given(
    st.lists(
        st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=30),
        min_size=1,
        max_size=4,
    ),
    st.integers(8, 20),
    st.sampled_from([0, 3, 20]),
)
def test_every_word_with_a_piece_is_predicted_once(sentences, max_length, context):
    tagged = [sentence(words, index // 2) for index, words in enumerate(sentences)]
    label_ids = {f"B-{index}": index for index in range(30)}
    rows = token_rows(
        TOKENIZER, tagged, label_ids, max_length=max_length, context=context
    )
    found = []
    for row in rows:
        assert row.length == len(row.content) <= max_length
        predicts = row.labels != IGNORED
        np.testing.assert_array_equal(predicts, row.words >= 0)
        # The label of word n is n here.
        np.testing.assert_array_equal(row.labels[predicts], row.words[predicts])
        words = tagged[row.example].words
        for position in np.flatnonzero(predicts):
            (pieces,) = TOKENIZER.encode([[words[row.words[position]]]])
            assert row.content.ids[position] == pieces.ids[0]
            found.append((row.example, int(row.words[position])))
    expected = [
        (index, place)
        for index, words in enumerate(sentences)
        for place, word in enumerate(words)
        if word != "\u0001"
    ]
    assert sorted(found) == expected


def test_context_is_of_the_same_document_and_predicts_nothing():
    tagged = [sentence(["the", "bank"]), sentence(["saw"]), sentence(["river"], 1)]
    label_ids = {"B-0": 0, "B-1": 1}
    rows = token_rows(TOKENIZER, tagged, label_ids, max_length=64, context=9)
    assert [row.length for row in rows] == [5, 5, 3]
    assert [(row.labels != IGNORED).sum() for row in rows] == [2, 1, 1]
    alone = token_rows(TOKENIZER, tagged, label_ids, max_length=64)
    assert [row.length for row in alone] == [4, 3, 3]


def test_a_tag_that_is_not_known_is_ignored_in_the_loss():
    (row,) = token_rows(
        TOKENIZER, [sentence(["the", "bank"])], {"B-0": 0}, max_length=9
    )
    assert row.labels.tolist() == [IGNORED, 0, IGNORED, IGNORED]
    assert row.words.tolist() == [-1, 0, 1, -1]


@pytest.mark.parity
def test_texts_and_pairs_are_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    TOKENIZER.save(tmp_path)
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path)
    texts = ["the bank was good", "a", "saw the river was a bad bank the the the"]
    pairs = ["Ann saw the river and the bank", "a bank", "rivers"]
    for max_length in (64, 12):
        for second in (None, pairs):
            ours = sequence_rows(
                TOKENIZER,
                [
                    LabelledText("good", text, second and second[index])
                    for index, text in enumerate(texts)
                ],
                {"good": 1},
                max_length=max_length,
            )
            for index, row in enumerate(ours):
                expected = theirs(
                    texts[index],
                    second and second[index],
                    truncation="longest_first",
                    max_length=max_length,
                )
                assert row.content.ids.tolist() == expected["input_ids"]
                tokens = bert_jax.rows.collate([row.content], 0)
                segments = tokens.segment_ids[0].tolist()
                assert segments == expected["token_type_ids"]
                assert row.labels == 1


@pytest.mark.parametrize("task", ["token", "sequence", "pair"])
def test_words_that_the_vocabulary_lacks_are_counted(task):
    words = ["the", "banks", "ŁŁ", "saw", "ß"]
    if task == "token":
        tagged = [sentence(words), sentence(["ŁŁ"])]
        rows = token_rows(TOKENIZER, tagged, {}, max_length=5, context=1)
        assert sum(row.num_words for row in rows) >= 6
    else:
        text = " ".join(words)
        pair = text if task == "pair" else None
        rows = sequence_rows(
            TOKENIZER, [LabelledText("a", text, pair)], {"a": 0}, max_length=64
        )
        assert [row.num_words for row in rows] == [10 if pair else 5]
        assert [row.num_unknown for row in rows] == [4 if pair else 2]
    foreign = token_rows(TOKENIZER, [sentence(["ŁŁ"])], {}, max_length=9)
    with pytest.raises(ValueError, match=r"not one of the 1 words of the examples"):
        judge_rows(foreign, "the examples", "error")
